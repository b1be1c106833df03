"""Conditions that no value can meet: the cases that are plain to see. Finding none proves nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gateway.policy.where import read, validator


def contradiction(schema: Any) -> str:
    """Why no value of the type that `schema` speaks of can fit it; empty when there may be one."""
    if schema is False:
        return "it is false"
    if not isinstance(schema, dict):
        return ""
    return _bounds(schema) or _values(schema) or _lengths(schema) or _branches(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    lows = [(schema[key], key) for key in ("minimum", "exclusiveMinimum") if key in schema]
    highs = [(schema[key], key) for key in ("maximum", "exclusiveMaximum") if key in schema]
    for low, least in lows:
        for high, most in highs:
            exclusive = "exclusive" in f"{least}{most}"
            if low > high or (low == high and exclusive) or _no_integer(schema, low, least, high, most):
                return f"{least} {low} leaves nothing below {most} {high}"
    return ""


def _no_integer(schema: Mapping[str, Any], low: float, least: str, high: float, most: str) -> bool:
    if schema.get("type") != "integer":
        return False
    first = math.floor(low) + 1 if least == "exclusiveMinimum" else math.ceil(low)
    last = math.ceil(high) - 1 if most == "exclusiveMaximum" else math.floor(high)
    return first > last


def _values(schema: Mapping[str, Any]) -> str:
    """`enum` and `const` against everything beside them."""
    if not schema.keys() & {"enum", "const"}:
        return ""
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    fits = validator(read(dict(schema), True)).is_valid
    if any(fits(value) for value in values):
        return ""
    return f"{'no value of enum' if 'enum' in schema else 'const'} meets the rest of the condition"


def _lengths(schema: Mapping[str, Any]) -> str:
    for least, most in (("minLength", "maxLength"), ("minItems", "maxItems")):
        if least in schema and most in schema and schema[least] > schema[most]:
            return f"{least} {schema[least]} is more than {most} {schema[most]}"
    return ""


def _branches(schema: Mapping[str, Any]) -> str:
    for key in ("anyOf", "oneOf"):
        found = [contradiction(branch) for branch in schema.get(key, [])]
        if found and all(found):
            return f"no branch of {key} can: {found[0]}"
    return next(filter(None, (contradiction(branch) for branch in schema.get("allOf", []))), "")
