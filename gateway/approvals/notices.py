"""The outbox: what people outside are to be told, written with what it tells of, kept until it is delivered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, exists, func, insert, select, update

from gateway.approvals.shown import current
from gateway.approvals.ticket import Ticket
from gateway.tables import notices
from gateway.times import exactly

_MOST_ARGUMENTS = 65_536
"""Bytes of arguments in a notice; larger ones are looked at in the console."""
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told: `opened`, `escalated`, `expiring` or `decided`. `due` is when it is to be tried next."""

    id: str
    ticket: str
    kind: str
    at: float
    attempts: int
    due: float


def add_notice(connection: Connection, ticket: str, revision: int, kind: str, now: float) -> None:
    """Its id grows with the ticket's revision, so that ids tell the order."""
    identity = f"msg_{revision:012d}_{os.urandom(6).hex()}"
    row = {"id": identity, "ticket": ticket, "kind": kind, "at": now, "attempts": 0, "due": now}
    connection.execute(insert(notices).values(row))


def due(connection: Connection, now: float) -> list[Notice]:
    """Some notices that are to be tried now, longest due first. Those of one ticket come in order: the next one only
    when the one before is delivered, or given up.
    """
    before = notices.alias()
    earlier = exists().where(before.c.ticket == notices.c.ticket, before.c.id < notices.c.id, before.c.due.is_not(None))
    found = select(notices).where(notices.c.due <= now, ~earlier).order_by(notices.c.due, notices.c.id).limit(_AT_ONCE)
    return [Notice(**row._mapping) for row in connection.execute(found)]


def next_due(connection: Connection, now: float) -> float | None:
    """When the next notice is due that is not yet."""
    found: float | None = connection.execute(select(func.min(notices.c.due)).where(notices.c.due > now)).scalar_one()
    return found


def settle(connection: Connection, notice: Notice, due: float | None) -> None:
    """It was tried once more; None: it is delivered, or given up."""
    connection.execute(
        update(notices).where(notices.c.id == notice.id).values(attempts=notices.c.attempts + 1, due=due)
    )


def body(notice: Notice, ticket: Ticket, console: str | None) -> bytes:
    """What is sent: the ticket as it is now, as people may see it."""
    told: dict[str, Any] = {
        "ticket": ticket.id,
        "kind": ticket.kind,
        "state": ticket.state,
        "agent": ticket.agent,
        "server": ticket.server,
        "tool": ticket.tool,
        "arguments": _short(current(ticket)),
        "run": ticket.run,
        "rule": ticket.rule,
        "words": ticket.words,
        "agent_says": ticket.reason,
        "confidence": ticket.confidence,
        "approvers": ticket.approvers,
        "reviewers": sorted(ticket.asks() or ()) or None,
        "decisions": [
            {"reviewer": each.reviewer, "verdict": each.verdict, "words": each.words, "edited": each.edited}
            for each in ticket.decisions
        ],
        "opened": exactly(ticket.opened),
        "expires": exactly(ticket.expires),
    }
    if console is not None:
        told["link"] = f"{console.rstrip('/')}/tickets/{ticket.id}"
    return orjson.dumps({"type": f"ticket.{notice.kind}", "timestamp": exactly(notice.at), "data": told})


def _short(arguments: Mapping[str, Any]) -> Any:
    size = len(orjson.dumps(dict(arguments)))
    return dict(arguments) if size <= _MOST_ARGUMENTS else {"bytes": size}
