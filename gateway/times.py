"""Points and spans of time as people and programs are told them; seconds since the epoch and seconds come in."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import overload

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


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
