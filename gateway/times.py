"""Points and spans of time as people and programs are told them; seconds since the epoch and seconds come in."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise
from typing import overload

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))
_SPAN = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@overload
def moment(at: float) -> str: ...
@overload
def moment(at: float | None) -> str | None: ...
def moment(at: float | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def exactly(at: float) -> str:
    """The same, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def lasting(seconds: float) -> str:
    """About how long that is: `3 d`, `2 h 5 min`, `40 s`. As `console.js` says it, too."""
    left = max(0, int(seconds))
    for (size, unit), (below, lower) in pairwise((*_UNITS, (0, ""))):
        if left >= size:
            rest = left % size // below if below else 0
            return f"{left // size} {unit}" + (f" {rest} {lower}" if rest else "")
    return f"{left} s"


def span(text: str) -> int:
    """The seconds of a span as people write it, such as `90s`, `12h` or `4w`. Raises ValueError."""
    if (match := _SPAN.fullmatch(text)) is None:
        raise ValueError("write a number and s, m, h, d or w, such as 12h or 30d")
    return int(match[1]) * _SECONDS[match[2]]


def instant(text: str, now: float) -> float:
    """Seconds since the epoch: of a time in ISO 8601, in UTC where it names no zone, or of so long ago as a span.
    Raises ValueError.
    """
    if _SPAN.fullmatch(text):
        return now - span(text)
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("write a span such as 2h or 7d, or a time such as 2026-11-30T13:00") from None
