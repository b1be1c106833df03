"""How a ticket comes to be: a call that is gated, an agent that asks, a step that cannot be undone."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from gateway.approvals.binding import schema_of
from gateway.approvals.book import Book
from gateway.approvals.ticket import Ticket, masked
from gateway.approvals.using import expire, void
from gateway.call import Call
from gateway.errors import KeyConflict, TooManyPending
from gateway.fingerprint import fingerprint_of
from gateway.tables import tickets
from gateway.terms import Gate

_NEVER_SOON = 10 * 365 * 86_400.0
"""Seconds until a ticket expires that stays until somebody looks at it."""

_WITHDRAWN = 3600.0
"""Seconds after its opening for which a ticket that was withdrawn counts as one that waits."""


def open_ticket(book: Book, connection: Connection, call: Call, gate: Gate) -> Ticket:
    """The ticket that stands for this call, or a new one. Raises KeyConflict and TooManyPending."""
    known = _by_key(book, connection, call) or _alike(book, connection, call)
    if known is not None:
        why = void(book, known, call) if known.state in ("pending", "approved") else None
        if why is None:
            return known
        expire(book, connection, known, why)
    _bounded(book, connection, call)
    return book.add(connection, _ticket(book, call, gate))


def _bounded(book: Book, connection: Connection, call: Call) -> None:
    """Raises TooManyPending: an agent out of hand must not hide from people what others wait for. Those that it
    withdrew count for a while: people are told of each.
    """
    now = book.clock()
    withdrawn = and_(
        *(tickets.c.state == "expired", tickets.c.why == "withdrawn"),
        *(tickets.c.expires > now, tickets.c.opened > now - _WITHDRAWN),
    )
    own = and_(tickets.c.agent == call.principal.agent, tickets.c.kind != "undo")
    counted = select(func.count()).select_from(tickets).where(own, or_(tickets.c.state == "pending", withdrawn))
    waiting = connection.execute(counted).scalar_one()
    if waiting >= book.settings.pending:
        raise TooManyPending(
            f"{waiting} tickets of {call.principal.agent} wait for people already, or were withdrawn lately, and no "
            "more can be opened. Nothing was run; wait for decisions on those, or report that this has to wait."
        )


def _by_key(book: Book, connection: Connection, call: Call) -> Ticket | None:
    """The last ticket under the call's key, unless it expired: then nothing ran, and the key is free again."""
    if call.key is None:
        return None
    ticket = _last(book, connection, call, tickets.c.key == call.key, tickets.c.state != "expired")
    if ticket is None:
        return None
    if fingerprint_of(call) not in (ticket.fingerprint, ticket.approved):
        raise KeyConflict(
            f"The idempotency key of this call of {call.name} was used for another call, which waits for approval or "
            "was decided on. Nothing was run; use a new key for a new call."
        )
    return ticket


def _alike(book: Book, connection: Connection, call: Call) -> Ticket | None:
    """A ticket in force of the same call of the same run. One with a key of the caller's own choice says that it is
    another call; the ids that clients give each attempt do not.
    """
    if "toolgate/key" in call.meta:
        return None
    return _last(
        book,
        connection,
        call,
        tickets.c.server == call.server,
        tickets.c.tool == call.tool,
        tickets.c.fingerprint == fingerprint_of(call),
        tickets.c.run.is_not_distinct_from(call.run),
        tickets.c.state.in_(("pending", "approved")),
    )


def _last(book: Book, connection: Connection, call: Call, *such: ColumnElement[bool]) -> Ticket | None:
    """The last of the agent's tickets that are such, which nobody else changes before the transaction ends."""
    own = select(tickets).where(tickets.c.agent == call.principal.agent, *such)
    row = connection.execute(own.order_by(tickets.c.revision.desc()).limit(1).with_for_update()).one_or_none()
    return None if row is None else book.read(row)


def _ticket(book: Book, call: Call, gate: Gate) -> Ticket:
    assert call.permit is not None and call.definition is not None
    now = book.clock()
    said = gate.type == "confidence" or call.confidence > 0
    return Ticket(
        **_of(call),
        kind=gate.type,
        rule=call.permit.rule,
        policy=call.permit.grant,
        schema=schema_of(call.definition),
        fingerprint=fingerprint_of(call),
        bound={name: call.arguments[name] for name in call.permit.bind},
        secrets=call.definition.facts.secrets,
        shown=masked(call.arguments, call.definition.facts.secrets),
        confidence=call.confidence if said else None,
        reason=call.statement,
        words=gate.words,
        approvers=gate.approvers,
        tiers=gate.tiers,
        escalates=next_tier(gate.tiers, 0, now),
        opened=now,
        expires=now + (gate.expires if gate.expires is not None else book.settings.expires),
    )


def _of(call: Call) -> dict[str, Any]:
    """What a new ticket has of the call that it is about."""
    return {
        "id": new_id(),
        "revision": 0,
        "state": "pending",
        "agent": call.principal.agent,
        "token": call.principal.token,
        "server": call.server,
        "tool": call.tool,
        "call": call.id,
        "run": call.run,
        "key": call.key,
        "given": call.given,
    }


def ask(book: Book, connection: Connection, call: Call, reason: str) -> Ticket:
    """An agent says that something is beyond it. Raises TooManyPending."""
    _bounded(book, connection, call)
    now = book.clock()
    ticket = Ticket(
        **_of(call),
        kind="request",
        rule="" if call.permit is None else call.permit.rule,
        policy="" if call.permit is None else call.permit.grant,
        schema="",
        fingerprint="" if call.permit is None else fingerprint_of(call),
        shown=dict(call.arguments),
        reason=reason,
        opened=now,
        expires=now + book.settings.expires,
    )
    return book.add(connection, ticket)


def give_up(
    book: Book,
    connection: Connection,
    *,
    agent: str,
    run: str,
    server: str,
    tool: str,
    call: str,
    why: str,
    shown: Any,
) -> Ticket:
    """A step of a run cannot be undone by `tool`; `why` is for people."""
    now = book.clock()
    ticket = Ticket(
        id=new_id(),
        revision=0,
        kind="undo",
        state="pending",
        agent=agent,
        token="",
        server=server,
        tool=tool,
        call=call,
        run=run,
        rule="",
        policy="",
        schema="",
        fingerprint="",
        shown=shown if isinstance(shown, Mapping) else {"value": shown},
        words=why,
        opened=now,
        expires=now + _NEVER_SOON,
    )
    return book.add(connection, ticket)


def next_tier(tiers: tuple[Any, ...], tier: int, now: float) -> float | None:
    """When the tier after this one is to be asked too; None when there is none."""
    after = tiers[tier].after if tier + 1 < len(tiers) else None
    return None if after is None else now + float(after)


def new_id() -> str:
    """16 characters that people can read out. They give no right to anything."""
    return base64.b32encode(os.urandom(10)).decode().lower()
