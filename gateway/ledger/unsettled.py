"""Calls of which nobody knows whether they ran: how they are found after a crash, listed and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import ColumnElement, Connection, Row, func, select

from gateway.audit import SPENT, ended
from gateway.call import Result
from gateway.events import EventRow, event_row, insert_events
from gateway.ledger import claims
from gateway.runs.rows import UNDO
from gateway.store import Store
from gateway.tables import calls, reservations

ANSWER: Result = {
    "content": [
        {
            "type": "text",
            "text": "This call took effect: a person looked and found out. What the tool answered is not known.",
        }
    ]
}
"""The reply to a repeat of a call that was settled so."""

_ROWS = 50
"""Events in one statement: every SQLite takes 999 values."""


Finding = Literal["happened", "did_not"]
"""What a reviewer found out about a call of unknown outcome."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A call of which nobody knows whether it ran. `shown` are its arguments as people may see them, JSON."""

    call: str
    agent: str
    server: str
    tool: str
    run: str | None
    key: str | None
    at: float
    shown: str
    held: tuple[tuple[str, int], ...]
    """(account, amount) of limits and budgets that it keeps."""


TO_SETTLE = (calls.c.state == "unknown") & (calls.c.key.is_(None) | ~calls.c.key.startswith(UNDO))
"""Not those that undo another: people are asked about them by a ticket, see `gateway.runs`."""


def count(store: Store) -> int:
    """How many calls are to be settled."""
    return int(store.read(select(func.count()).where(TO_SETTLE))[0][0])


def listed(store: Store) -> list[Unknown]:
    """Calls to be settled, oldest first."""
    order = (calls.c.at, calls.c.id)
    found = store.read(select(calls).where(TO_SETTLE).order_by(*order))
    of_unknown = reservations.c.call.in_(select(calls.c.id).where(TO_SETTLE))
    held: dict[str, list[tuple[str, int]]] = {}
    for row in store.read(select(reservations).where(of_unknown).order_by(reservations.c.account)):
        held.setdefault(row.call, []).append((row.account, row.amount))
    names = ("agent", "server", "tool", "run", "key", "at", "shown")
    return [
        Unknown(call=row.id, held=tuple(held.get(row.id, ())), **{name: row._mapping[name] for name in names})
        for row in found
    ]


def recover(
    connection: Connection, gone: ColumnElement[bool], begun: Sequence[Row[Any]], *, owner: str, now: float
) -> list[str]:
    """Calls that processes which are gone left under way become unknown; those that need not be settled are lost.

    `gone` is a condition on `calls.owner`, `begun` are what `unfinished` found of these processes; calls found only
    there are given to `owner`.
    """
    there = select(calls).where(calls.c.state == "open", gone).order_by(calls.c.at)
    left = connection.execute(there.with_for_update()).all()
    known = {row.id for row in left}
    logged = [row for row in begun if row.call not in known]
    for row in left:
        settles = row.key is not None or not row.idempotent or _holds(connection, row.id)
        claims.become(connection, row.id, "unknown" if settles else "lost", row.at)
    for row in logged:
        if (data := orjson.loads(row.data)).get("once"):
            claims.put(connection, _of_log(row, owner, data))
    crashed = [_crashed(row, row.id, now, held=_holds(connection, row.id)) for row in left]
    crashed += [_crashed(row, row.call, now) for row in logged]
    for place in range(0, len(crashed), _ROWS):
        insert_events(connection, crashed[place : place + _ROWS])
    return [*known, *(row.call for row in logged)]


def reclaim(connection: Connection, owner: str) -> bool:
    """This process was taken for dead, and is not. Calls that only the log has, and that have ended by now, need not
    be settled; whether there are others. What the store knows of is put right as it ends: see `Ledger.end`.
    """
    of_log = (calls.c.owner == owner) & (calls.c.state == "unknown") & (calls.c.fingerprint == "")
    doubted = [*connection.execute(select(calls.c.id).where(of_log)).scalars()]
    known = ended(connection, doubted) if doubted else []
    for call in known:
        claims.remove(connection, call)
    return len(known) < len(doubted)


def _holds(connection: Connection, call: str) -> bool:
    """Whether this call has taken something of a limit or budget."""
    held = select(reservations.c.call).where(reservations.c.call == call).limit(1)
    return connection.execute(held).first() is not None


def _of_log(row: Row[Any], owner: str, data: dict[str, Any]) -> dict[str, Any]:
    """A row of `calls` for an intent that was only in the log."""
    return {
        "id": row.call,
        "agent": row.agent,
        "key": None,
        "fingerprint": "",
        "server": row.server,
        "tool": row.tool,
        "run": row.run,
        "ticket": None,
        "state": "unknown",
        "owner": owner,
        "at": row.at,
        "idempotent": False,
        "reads": False,
        "shown": orjson.dumps(data.get("arguments", {})).decode(),
    }


def _crashed(row: Row[Any], call: str, now: float, *, held: bool = False) -> EventRow:
    data: dict[str, Any] = {"outcome": "unknown", "ms": None, "result": None}
    if held:
        data["spends"] = SPENT["unknown"]
    return _event(row, call, now, "outcome", data, "crashed")


def settled(row: Row[Any], now: float, reviewer: str, verdict: str, words: str) -> EventRow:
    """The event of a reviewer's finding about an unknown call."""
    return _event(row, row.id, now, "settled", {"verdict": verdict, "by": reviewer, "words": words})


def _event(
    row: Row[Any], call: str, now: float, kind: str, data: dict[str, Any], reason: str | None = None
) -> EventRow:
    whose = {"agent": row.agent, "server": row.server, "tool": row.tool, "run": row.run}
    return event_row(now, kind, data, call=call, reason=reason, **whose)
