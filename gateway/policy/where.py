"""Conditions on arguments: a JSON Schema per argument, in two readings that both fail closed.

`strict`, for allow rules: an argument must be present and of the type its keywords speak of.
`lenient`, for deny rules: an argument that is absent or of another type counts as a match.
Plain JSON Schema lies between the two: it lets `{maximum: 5}` pass for a string, and for nothing at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import jsonschema_rs

from gateway.policy.rules import Effect

Schema = dict[str, Any] | bool
_SPEAKS_OF = {
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "array": ("minItems", "maxItems", "uniqueItems", "items"),
    "object": ("properties", "required", "additionalProperties"),
}
FAMILY = {keyword: kind for kind, keywords in _SPEAKS_OF.items() for keyword in keywords}
"""The JSON type a keyword speaks of; values of other types pass it, says JSON Schema."""

MASK = "the value given"


@dataclass(frozen=True, slots=True)
class Condition:
    """The compiled `where` and `bind` of one rule. `names` are the arguments of the first, `bound` of the second."""

    rule: str
    effect: Effect
    names: tuple[str, ...]
    validator: jsonschema_rs.Validator
    bound: frozenset[str] = frozenset()

    def holds(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the rule applies to these arguments. Values that are not JSON never help the caller."""
        try:
            return self.validator.is_valid(arguments)
        except Exception:  # whatever cannot be judged must neither open an allow nor evade a deny
            return self.effect == "deny"

    def failures(self, arguments: Mapping[str, Any]) -> str:
        """At most three reasons why the condition does not hold. Shows numbers, never other values."""
        try:
            errors = (error for error in self.validator.iter_errors(arguments) if not self._of_bound(error))
            filled = (
                f"{name}: the gateway fills it in, so leave it out" for name in sorted(self.bound & arguments.keys())
            )
            return "; ".join(islice(chain(filled, map(_reason, errors)), 3))
        except Exception:  # as in `holds`
            return "the arguments are not plain JSON"

    def _of_bound(self, error: jsonschema_rs.ValidationError) -> bool:
        return bool(error.instance_path) and error.instance_path[0] in self.bound


def compile_where(rule: str, effect: Effect, where: Mapping[str, Any], bind: Collection[str] = ()) -> Condition:
    """Compile a `where` without faults; arguments in `bind` must be left out. Raises ValueError when it has faults."""
    strict = effect == "allow"
    properties: dict[str, Any] = {name: read(body, strict) for name, body in where.items()} | dict.fromkeys(bind, False)
    schema: dict[str, Any] = {"properties": properties}
    if strict:
        schema |= {"type": "object", "required": list(where)}
    return Condition(rule, effect, tuple(where), validator(schema), frozenset(bind))


def read(schema: Schema, strict: bool) -> Schema:
    """The strict or lenient reading of one schema, as plain JSON Schema. `not` turns one into the other."""
    if isinstance(schema, bool):
        return schema
    body: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "not":
            body[key] = read(value, not strict)
        elif key == "oneOf":
            body.setdefault("allOf", []).append(_exactly_one(value, strict))
        elif key == "allOf":
            body.setdefault("allOf", []).extend(read(each, strict) for each in value)
        elif key == "anyOf":
            body[key] = [read(each, strict) for each in value]
        elif key == "properties":
            body[key] = {name: read(each, strict) for name, each in value.items()}
        elif key in ("items", "additionalProperties"):
            body[key] = read(value, strict)
        else:
            body[key] = value
    return _strict(schema, body) if strict else _lenient(schema, body)


def _strict(schema: dict[str, Any], body: dict[str, Any]) -> Schema:
    if "properties" in schema and "required" not in schema:
        body["required"] = list(schema["properties"])
    if implied := families(schema):
        body.setdefault("type", implied[0])
    return body


def _lenient(schema: dict[str, Any], body: dict[str, Any]) -> Schema:
    kinds = _kinds(schema)
    return {"anyOf": [{"not": {"type": kinds}}, body]} if kinds else body


def _exactly_one(branches: list[Schema], strict: bool) -> Schema:
    """One branch matches in this reading, no other in the opposite one: tight, or loose, on both sides."""
    choices: list[Schema] = []
    for index, branch in enumerate(branches):
        others = [read(other, not strict) for other in branches[:index] + branches[index + 1 :]]
        one = read(branch, strict)
        choices.append({"allOf": [one, {"not": {"anyOf": others}}]} if others else one)
    return {"anyOf": choices}


def families(schema: Mapping[str, Any]) -> list[str]:
    """The JSON types the keywords of a schema speak of."""
    return sorted({FAMILY[key] for key in schema if key in FAMILY})


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """The JSON types a schema speaks of: by `type`, else by keywords, else by values. May be empty."""
    explicit = schema.get("type", [])
    named = [explicit] if isinstance(explicit, str) else list(explicit)
    values = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    return named or families(schema) or sorted({_kind(value) for value in values})


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


_OPTIONS: dict[str, Any] = {
    "validate_formats": True,
    "ignore_unknown_formats": False,
    "offline": True,
    "mask": MASK,
    # Linear time, and no backtracking limit whose overrun would read as "does not match" on a deny rule.
    "pattern_options": jsonschema_rs.RegexOptions(),
}


def validator(schema: Schema) -> jsonschema_rs.Validator:
    """Compile a schema. Raises ValueError when it is none."""
    return jsonschema_rs.Draft202012Validator(schema, **_OPTIONS)


def _reason(error: jsonschema_rs.ValidationError) -> str:
    value, place = error.instance, ".".join(str(step) for step in error.instance_path)
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    message = error.message.replace(MASK, str(value)) if known else error.message
    return f"{place}: {message}" if place else message
