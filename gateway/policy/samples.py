"""Arguments that show what conditions tell apart: values around every bound, members of every list, strangers.

A sample is a guess at what matters, never a proof: a difference that no sample shows may still be there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from gateway.policy.pattern import matching
from gateway.policy.rules import Rule
from gateway.policy.where import compile_where

ABSENT = object()
"""Stands for an argument that is left out."""

MAX_CALLS = 1024
MAX_LENGTH = 10_000
_ANY: tuple[Any, ...] = (ABSENT, None, True, 0, "", "text", [], {})
_FORMATS = {
    "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "time": "12:00:00Z", "duration": "P1D",
    "email": "a@example.com", "hostname": "example.com", "uri": "https://example.com/a", "uri-reference": "/a",
    "uuid": "123e4567-e89b-42d3-a456-426614174000", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "regex": "a+",
}  # fmt: skip


def calls(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Arguments to try on `rules`: every combination of samples, or one argument varied at a time where those are
    too many.
    """
    values = _values(rules)
    size = 1
    for candidates in values.values():
        size *= len(candidates)
    if size <= MAX_CALLS:
        chosen = (dict(zip(values, row, strict=True)) for row in product(*values.values()))
        return [_present(each) for each in chosen]
    bases = [dict.fromkeys(values, ABSENT) | _fitting(rule, values) for rule in rules]
    varied = (base | {name: value} for base in bases for name in values for value in values[name])
    return _distinct([_present(each) for each in [*bases, *varied]])


def samples(schema: Any) -> list[Any]:
    """Values on both sides of everything that `schema` says."""
    return _distinct([*_ANY[1:], *_told(schema)])


def _values(rules: Sequence[Rule]) -> dict[str, list[Any]]:
    """Samples of every argument that some condition, gate or binding of `rules` speaks of."""
    values: dict[str, list[Any]] = {}
    for rule in rules:
        when = (rule.gate or {}).get("when") or {}
        for name, schema in [*(rule.where or {}).items(), *when.items()]:
            values.setdefault(name, list(_ANY)).extend(_told(schema))
        for name in rule.bind or {}:
            values.setdefault(name, [ABSENT, "text"])
    return {name: _distinct(candidates) for name, candidates in values.items()}


def _fitting(rule: Rule, values: Mapping[str, list[Any]]) -> dict[str, Any]:
    """For each argument a sample that meets the rule's condition, as far as there is one."""
    chosen = {}
    for name, schema in (rule.where or {}).items():
        holds = compile_where(rule.id, rule.effect, {name: schema}).holds
        fits = (value for value in values[name] if holds(_present({name: value})))
        chosen[name] = next(fits, ABSENT)
    return chosen


def _told(schema: Any) -> Iterator[Any]:
    if not isinstance(schema, dict):
        return
    yield from _numbers(schema)
    yield from _texts(schema)
    yield from _listed(schema)
    yield from _nested(schema)
    for key in ("anyOf", "allOf", "oneOf"):
        for branch in schema.get(key, []):
            yield from _told(branch)
    yield from _told(schema.get("not"))


def _numbers(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if key in schema:
            bound = schema[key]
            yield from (bound, bound - 1, bound + 1, bound - 0.5, bound + 0.5, str(bound))
    if "multipleOf" in schema:
        step = schema["multipleOf"]
        yield from (step, step * 2, step * 1.5)


def _texts(schema: Mapping[str, Any]) -> Iterator[str]:
    for key in ("minLength", "maxLength"):
        length = schema.get(key, MAX_LENGTH)
        if length < MAX_LENGTH:
            yield from ("a" * size for size in (length - 1, length, length + 1) if size >= 0)
    if "pattern" in schema:
        text = matching(schema["pattern"])
        yield from (text, f"x{text}", f"{text}x", text[:-1])
    if schema.get("format") in _FORMATS:
        yield _FORMATS[schema["format"]]


def _listed(schema: Mapping[str, Any]) -> Iterator[Any]:
    listed = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    for value in listed:
        yield value
        if isinstance(value, str):
            yield from (value.swapcase(), f"{value}x")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from (value + 1, str(value))
    kinds = schema.get("type", [])
    shown = {"boolean": False, "integer": 1, "number": 1.5, "string": "text", "array": ["text"], "object": {"a": 1}}
    yield from (shown[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind in shown)


def _nested(schema: Mapping[str, Any]) -> Iterator[Any]:
    inner = samples(schema["items"]) if "items" in schema else ["text"]
    yield from ([value] for value in inner if "items" in schema)
    for key in ("minItems", "maxItems"):
        length = schema.get(key, MAX_LENGTH)
        if length < MAX_LENGTH:
            yield from (inner[:1] * size for size in (length - 1, length, length + 1) if size >= 0)
            yield from (list(range(size)) for size in (length - 1, length, length + 1) if size >= 0)
    if "uniqueItems" in schema:
        yield from ([inner[-1]], [inner[-1], inner[-1]])
    if "properties" in schema:
        yield from _objects(schema["properties"])


def _objects(properties: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """An object with each property at each of its samples, the others fitting where a sample does."""
    found = {name: samples(schema) for name, schema in properties.items()}
    base = {name: _first_fitting(properties[name], found[name]) for name in properties}
    yield base
    yield base | {"another": 1}
    for name, candidates in found.items():
        yield {other: value for other, value in base.items() if other != name}
        yield from (base | {name: value} for value in candidates)


def _first_fitting(schema: Any, candidates: Sequence[Any]) -> Any:
    holds = compile_where("", "allow", {"value": schema}).holds
    return next((value for value in candidates if holds({"value": value})), candidates[0])


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not ABSENT}


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Each value once, in order; 1, 1.0, True and "1" are four."""
    seen = {value is ABSENT or json.dumps(value, sort_keys=True): value for value in reversed(values)}
    return list(reversed(seen.values()))
