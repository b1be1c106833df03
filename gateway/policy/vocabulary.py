"""What a `where` may say: which keywords, with which values. Finds everything else, place by place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from gateway.policy.rules import nearest
from gateway.policy.where import FAMILY, MASK, families, read, validator

Fault = tuple[str, str, str]
"""Where in the condition (dotted), what is wrong, how to mend it."""

KEYWORDS = frozenset(FAMILY) | {"type", "enum", "const", "anyOf", "allOf", "oneOf", "not"}
MAX_DEPTH = 16


def faults(where: object) -> Iterator[Fault]:
    """Everything wrong with a `where`, nothing when it can be compiled."""
    if not isinstance(where, dict) or not where:
        yield "", "says nothing", "name at least one argument, or leave `where` out to mean any arguments"
        return
    for name, schema in where.items():
        if not name or not name.isprintable():
            yield repr(name), "is no argument name", "type the name again"
        elif not isinstance(schema, dict) or not schema:
            yield name, "is not a condition", f"write keywords, for example {name} = {{ maximum = 500 }}"
        else:
            found = list(_schema_faults(name, schema, MAX_DEPTH))
            yield from found or _compile_faults(name, schema)


def _schema_faults(path: str, schema: object, depth: int) -> Iterator[Fault]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield path, "is not a table of keywords", "write keywords, for example { maximum = 500 }"
        return
    if depth == 0:
        yield path, f"is nested more than {MAX_DEPTH} deep", "write a flatter condition"
        return
    for key in schema.keys() - KEYWORDS:
        if key.startswith("$"):
            yield (
                f"{path}.{key}",
                "references and identifiers are not followed",
                "write the condition out in full",
            )
        else:
            yield f"{path}.{key}", "is no keyword a condition may use", nearest(key, KEYWORDS)
    yield from _value_faults(path, schema)
    yield from _type_faults(path, schema)
    for step, child in _children(schema):
        yield from _schema_faults(f"{path}.{step}", child, depth - 1)


def _children(schema: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for key in ("not", "items", "additionalProperties"):
        if key in schema:
            yield key, schema[key]
    for key in ("anyOf", "allOf", "oneOf"):
        branches = schema.get(key, [])
        for index, branch in enumerate(branches if isinstance(branches, list) else []):
            yield f"{key}[{index}]", branch
    properties = schema.get("properties", {})
    for name, child in properties.items() if isinstance(properties, dict) else ():
        yield f"properties.{name}", child


def _value_faults(path: str, schema: dict[str, Any]) -> Iterator[Fault]:
    values = schema.get("enum", [None])
    if not isinstance(values, list) or not values:
        yield f"{path}.enum", "is not a list of values", 'write for example enum = ["USD", "EUR"]'
    for key in ("enum", "const"):
        if not is_json(schema.get(key, True)):
            yield (
                f"{path}.{key}",
                "holds a value JSON cannot carry",
                "use text, finite numbers, booleans, lists, tables",
            )


def is_json(value: object) -> bool:
    """Whether JSON can carry this value of a TOML file, which has dates and infinite numbers besides."""
    if isinstance(value, list):
        return all(is_json(each) for each in value)
    if isinstance(value, dict):
        return all(is_json(each) for each in value.values())
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, str | int)


def _type_faults(path: str, schema: dict[str, Any]) -> Iterator[Fault]:
    """Keywords that could never speak of the value at hand are a condition that does not bind."""
    spoken = families(schema)
    explicit = schema.get("type")
    if explicit is None:
        if len(spoken) > 1:
            message = f"has keywords for values of different types ({', '.join(spoken)})"
            yield path, message, "split it with anyOf, or add `type`"
        return
    named = [explicit] if isinstance(explicit, str) else explicit
    if not isinstance(named, list):
        return
    for key in schema:
        kind = FAMILY.get(key)
        if kind and kind not in named and not (kind == "number" and "integer" in named):
            yield f"{path}.{key}", "says nothing about values of the `type` beside it", f"remove {key} or `type`"


def _compile_faults(name: str, schema: dict[str, Any]) -> Iterator[Fault]:
    """What is left for the compiler to find: bounds that are no numbers, bad patterns, unknown formats."""
    try:
        validator(schema)
        for strict in (True, False):
            validator(read(schema, strict))
    except ValueError as error:
        place = ".".join(str(step) for step in getattr(error, "instance_path", []))
        message = str(getattr(error, "message", error)).split(". ")[0].replace(MASK, "its value")
        fix = "mend the value (JSON Schema 2020-12; patterns are regexes without look-around or references)"
        yield ".".join(filter(None, (name, place))), message, fix


def unanchored(schema: object, path: str = "") -> Iterator[str]:
    """The places of patterns that need not match a value from end to end."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            place = f"{path}.{key}" if path else key
            if key == "pattern" and isinstance(value, str):
                if not _is_anchored(value):
                    yield place
            else:
                yield from unanchored(value, place)
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from unanchored(value, f"{path}[{index}]")


def _is_anchored(pattern: str) -> bool:
    """`^...$` with no alternative beside them and no inline flag that lets them match at line ends."""
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", pattern)
    while (inner := re.sub(r"\([^()]*\)", "", bare)) != bare:
        bare = inner
    flags = re.search(r"\(\?[^:]", pattern)
    return bare.startswith("^") and bare.endswith("$") and "|" not in bare and not flags
