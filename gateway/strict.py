"""Reading JSON once, strictly: what is decided on is what was read, and what is sent on can be written again.

Refused are, beyond what is no JSON (RFC 8259): a key given twice in one object, which others may read otherwise
(so is a key that only its escapes tell apart), NaN and numbers beyond a double, byte order marks, invalid UTF-8, lone
surrogates, and deep nesting.
"""

from __future__ import annotations

import json
from typing import Any

import jiter
import orjson

MAX_DEPTH = 64
"""Levels of nesting a message may have."""

_TOO_DEEP = f"it is nested deeper than {MAX_DEPTH} levels"


def parse(data: bytes | bytearray) -> Any:
    """The value in `data`; integers beyond 64 bits become the nearest double.

    Raises ValueError, whose text says what is wrong with it and quotes nothing.
    """
    return _read(data)[0]


def parse_exactly(data: bytes) -> tuple[Any, bytes]:
    """The value in `data`, and that value written again. Integers beyond 64 bits are a ValueError too."""
    value = _read(data)[1]
    try:
        return value, orjson.dumps(value)
    except TypeError:
        raise ValueError("it has an integer beyond 64 bits, which would lose digits; send it as a string") from None


def _read(data: bytes | bytearray) -> tuple[Any, Any]:
    """The value as orjson reads it, which knows infinities, and as jiter does, which knows duplicates."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(_in_words(error)) from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _too_deep(value):
        raise ValueError(_TOO_DEEP)
    try:
        # Nothing but keys is cached: values may be secret.
        again = jiter.from_json(bytes(data), allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as error:
        duplicate = "duplicate key" in str(error)
        raise ValueError("an object in it has a key twice" if duplicate else "it is not JSON") from None
    return value, again


def _in_words(error: orjson.JSONDecodeError) -> str:
    for told, words in _WORDS.items():
        if told in error.msg:
            return words
    return f"it is not JSON (line {error.lineno}, column {error.colno})"


_WORDS = {
    "depth": _TOO_DEEP,
    "BOM": "it begins with a byte order mark",
    "UTF-8": "it is not UTF-8",
    "surrogate": "a string in it has half of a surrogate pair",
    "infinity": "a number in it is beyond what a double can hold",
}
"""What orjson says, and how we say it."""


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def same(one: Any, other: Any) -> bool:
    """Equality of JSON: unlike Python's, it tells 1 from true and from 1.0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
