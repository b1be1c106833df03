"""A tool's input schema as one agent may see it, so that a model knows its limits before it hits them.

Only properties and `required` change: the Messages API refuses a tool whose schema has `anyOf`, `allOf` or
`oneOf` at the root. With one rule the result says what the rule says; with several it says, argument by
argument, what some rule takes. It never accepts anything the tool's own schema refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.policy.where import Schema, read
from gateway.strict import same

_TIGHTER: dict[str, Callable[[Any, Any], Any]] = {
    "maximum": min, "exclusiveMaximum": min, "maxLength": min, "maxItems": min,
    "minimum": max, "exclusiveMinimum": max, "minLength": max, "minItems": max,
}  # fmt: skip

_SIBLINGS_MATTER = {"properties", "additionalProperties", "items"}
"""Keywords whose meaning depends on the keywords beside them: never mixed with the tool's own."""

_CLOSED = {"$ref", "$dynamicRef", "$id", "unevaluatedProperties", "unevaluatedItems"}
"""A schema with one of these is left whole: keywords put beside it are ignored in old drafts, or widen it."""


def narrow(
    schema: Mapping[str, Any], wheres: Sequence[Mapping[str, Any]], binds: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """`schema`, cut down to what allow rules accept: `where` and `bind` of each, at least one.

    Nothing that is given changes, and what stays the same is shared with it.
    """
    narrowed = dict(schema)
    names = [name for name in wheres[0] if all(name in where for where in wheres)]
    properties = dict(narrowed.get("properties", {}))
    for name in names:
        clause = _either([read(where[name], True) for where in wheres])
        if (own := _own(narrowed, name)) is not None:
            properties[name] = merge(own, clause)
    if names:
        narrowed["properties"] = properties
        narrowed["required"] = list(dict.fromkeys([*narrowed.get("required", []), *names]))
    return _without(narrowed, binds) if any(binds) else narrowed


def _without(schema: dict[str, Any], binds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What some rule fills in need not be given; what every rule fills in is not shown."""
    some = {name for bind in binds for name in bind}
    every = {name for name in some if all(name in bind for bind in binds)}
    cut = dict(schema)
    if "properties" in cut:
        cut["properties"] = {name: body for name, body in cut["properties"].items() if name not in every}
    if "required" in cut:
        cut["required"] = [name for name in cut["required"] if name not in some]
    return cut


def merge(own: Schema, clause: dict[str, Any]) -> Schema:
    """The intersection of two schemas, keyword by keyword where that reads well, else by `allOf`."""
    if isinstance(own, bool):
        return clause if own else False
    if own.keys() & _CLOSED:
        return {"allOf": [own, clause]}
    merged, rest = dict(own), {}
    for key, value in clause.items():
        if key in _SIBLINGS_MATTER:
            rest[key] = value
        elif key not in own or same(own[key], value):
            merged[key] = value
        elif key in _TIGHTER and _is_number(own[key]):
            merged[key] = _TIGHTER[key](own[key], value)
        elif key == "type" and (kind := _inner(own[key], value)) is not None:
            merged[key] = kind
        else:
            rest[key] = value
    if rest:
        merged["allOf"] = [*merged.get("allOf", []), rest]
    return merged


def _own(schema: Mapping[str, Any], name: str) -> Schema | None:
    """What the tool says of an argument; None when naming it among the properties could widen the schema."""
    if name in schema.get("properties", {}):
        own: Schema = schema["properties"][name]
        return own
    if schema.keys() & {"patternProperties", "unevaluatedProperties"}:
        return None
    others: Schema = schema.get("additionalProperties", True)
    return others


def _either(clauses: list[Any]) -> dict[str, Any]:
    distinct = [clause for index, clause in enumerate(clauses) if not _among(clause, clauses[:index])]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _among(clause: Any, others: list[Any]) -> bool:
    return any(same(clause, other) for other in others)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inner(one: Any, other: Any) -> Any:
    """Whichever of two `type`s lies within the other, None when neither does."""
    return one if _within(one, other) else other if _within(other, one) else None


def _within(inner: Any, outer: Any) -> bool:
    kinds = {outer} if isinstance(outer, str) else set(outer)
    if "number" in kinds:
        kinds.add("integer")
    return ({inner} if isinstance(inner, str) else set(inner)) <= kinds
