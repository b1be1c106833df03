"""What time does to tickets: they expire, move on to the next tier, and are reminded of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from gateway.approvals.book import Book
from gateway.approvals.opening import next_tier
from gateway.approvals.using import expire
from gateway.store import Store
from gateway.tables import notices, tickets

_AT_ONCE = 50
"""Tickets in one transaction: all calls wait for it."""


def overdue(store: Store, book: Book) -> list[str]:
    """Some tickets to which something is due; a plain read, so that a look that finds nothing costs no commit."""
    now = book.clock()
    due = or_(_expired(now), _escalating(now), *([_expiring(book, now)] if book.settings.webhook else []))
    return [row.id for row in store.read(select(tickets.c.id).where(due).limit(_AT_ONCE))]


def sweep(book: Book, connection: Connection, ids: Sequence[str]) -> None:
    """Do what is due to these tickets. What was done meanwhile is not done again."""
    now = book.clock()
    for identity in ids:
        ticket = book.load(connection, identity)
        if ticket is None or ticket.state not in ("pending", "approved"):
            continue
        if ticket.expires <= now:
            expire(book, connection, ticket, "time")
        elif ticket.state == "pending" and ticket.escalates is not None and ticket.escalates <= now:
            tier = ticket.tier + 1
            moved = replace(ticket, tier=tier, escalates=next_tier(ticket.tiers, tier, now))
            book.change(connection, moved, {"deed": "escalated", "tier": tier}, notice="escalated")
        elif _one(connection, identity, _expiring(book, now)):
            book.change(connection, ticket, {"deed": "reminded"}, notice="expiring")


def _expired(now: float) -> ColumnElement[bool]:
    return and_(tickets.c.state.in_(("pending", "approved")), tickets.c.expires <= now)


def _escalating(now: float) -> ColumnElement[bool]:
    return and_(tickets.c.state == "pending", tickets.c.escalates <= now)


def _expiring(book: Book, now: float) -> ColumnElement[bool]:
    """Pending, close to its end, and past half its time, for those that are short; not reminded of yet."""
    told = exists().where(notices.c.ticket == tickets.c.id, notices.c.kind == "expiring")
    return and_(
        tickets.c.state == "pending",
        tickets.c.expires <= now + book.settings.remind,
        (tickets.c.opened + tickets.c.expires) / 2 <= now,
        ~told,
    )


def _one(connection: Connection, ticket: str, condition: ColumnElement[bool]) -> bool:
    return connection.execute(select(tickets.c.id).where(tickets.c.id == ticket, condition)).one_or_none() is not None
