"""Reading JSON once, strictly: what is decided on is what was read, and what is sent on can be written again."""

from __future__ import annotations

from typing import Any

import orjson

MAX_DEPTH = 64
"""Levels of nesting a message may have."""


def parse(data: bytes | bytearray) -> Any:
    """The value in `data`. Raises ValueError, whose text says what is wrong with it and quotes nothing."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _too_deep(value):
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
