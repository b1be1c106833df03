"""What people decided so far, and how long calls waited for it: by tool, and by how sure the agent said it was."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, Select, or_, select

from gateway.approvals.ticket import OF_CALLS
from gateway.tables import tickets

_BANDS = 5

Fate = Literal["approved", "edited", "rejected", "expired"]


@dataclass(frozen=True, slots=True)
class Share:
    """One tool in one band of confidence: how many tickets ended how, and seconds from opening to decision.

    `edited` were approved with other arguments, and do not count as `approved`. Waiting times are None where nothing
    was decided.
    """

    server: str
    tool: str
    band: str
    approved: int
    edited: int
    rejected: int
    expired: int
    wait_p50: float | None
    wait_p90: float | None
    wait_max: float | None


def decided_since(since: float) -> Select[Any]:
    """The rows that `history` takes: tickets of gates opened since then that count.

    Requests and undoings have no gate to tune; of withdrawn ones agents can make any number.
    """
    columns = tickets.c
    return select(
        *(columns.server, columns.tool, columns.confidence, columns.state, columns.why, columns.edited),
        *(columns.opened, columns.decided),
    ).where(
        columns.opened >= since,
        columns.kind.in_(OF_CALLS),
        or_(columns.decided.is_not(None), columns.why == "time"),
    )


def history(rows: Iterable[Row[Any]]) -> list[Share]:
    """By server, tool and band. Tickets that are pending, withdrawn or void undecided are left out."""
    fates: dict[tuple[str, str, str], list[Fate]] = defaultdict(list)
    waits: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        fate = _fate(row)
        if fate is None:
            continue
        place = (row.server, row.tool, band(row.confidence))
        fates[place].append(fate)
        if fate != "expired":
            waits[place].append(max(0.0, row.decided - row.opened))
    return [_share(place, fates[place], sorted(waits[place])) for place in sorted(fates)]


def band(confidence: float | None) -> str:
    """`0.6-0.8`; `none` where nothing was said."""
    if confidence is None:
        return "none"
    step = min(int(confidence * _BANDS), _BANDS - 1)
    return f"{step / _BANDS:g}-{(step + 1) / _BANDS:g}"


def _fate(row: Row[Any]) -> Fate | None:
    """What people said; what became of an approval afterwards does not matter here."""
    if row.state == "rejected":
        return "rejected"
    if row.decided is not None:
        return "approved" if row.edited is None else "edited"
    return "expired" if row.state == "expired" and row.why == "time" else None


def _share(place: tuple[str, str, str], fates: Sequence[Fate], waits: Sequence[float]) -> Share:
    return Share(
        *place,
        approved=fates.count("approved"),
        edited=fates.count("edited"),
        rejected=fates.count("rejected"),
        expired=fates.count("expired"),
        wait_p50=_percentile(waits, 0.5),
        wait_p90=_percentile(waits, 0.9),
        wait_max=waits[-1] if waits else None,
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that so many are not above (nearest rank)."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None
