"""Events as lines of text, for archives and exports: JSON that keeps what is needed to compute their digests again.

`data` stands last, exactly as it is stored: an object, or, where what is stored is none, a string.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from gateway.evidence.rows import CHAIN, COLUMNS, DATA, Row

_BEFORE = ("seq", "chain", "n", "digest", *(name for name in COLUMNS[:CHAIN] if name != "data"))
_DATA = b',"data":'
_PLACES = tuple(COLUMNS.index(name) for name in _BEFORE)


def line_of(row: Row) -> bytes:
    """One event, without the end of the line. Raises TypeError for what no event holds."""
    head = orjson.dumps({name: row[place] for name, place in zip(_BEFORE, _PLACES, strict=True)})
    stored = row[DATA]
    exact = stored.encode()
    return head[:-1] + _DATA + (exact if _is_object(exact) else orjson.dumps(stored)) + b"}"


def row_of(line: bytes) -> Row:
    """The event in a line. Raises ValueError when there is none."""
    told = orjson.loads(line)
    begin = line.find(_DATA)
    if not isinstance(told, dict) or begin < 0 or set(told) != {*_BEFORE, "data"}:
        raise ValueError("not an event")
    if not isinstance(told["n"], int | None) or not isinstance(told["chain"], str | None):
        raise ValueError("not a place in a chain")
    if (told["n"] is None) != (told["chain"] is None):
        raise ValueError("half a place in a chain")
    data = told["data"]
    values: dict[str, Any] = {**told, "data": data if isinstance(data, str) else line[begin + len(_DATA) : -1].decode()}
    row = tuple(values[name] for name in COLUMNS)
    if line_of(row) != line:
        raise ValueError("not as it was written: others might read something else in it")
    return row


def rows_of(lines: Iterable[bytes]) -> Iterator[Row | int]:
    """The events in lines; for a line without one, its number."""
    for number, line in enumerate(lines, 1):
        try:
            yield row_of(line.rstrip(b"\n"))
        except ValueError:
            yield number


def _is_object(exact: bytes) -> bool:
    if not exact.startswith(b"{") or b"\n" in exact or b"\r" in exact:
        return False
    try:
        orjson.loads(exact)
    except ValueError:
        return False
    return True
