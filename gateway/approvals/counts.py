"""Tickets as metrics."""

from __future__ import annotations

from collections import OrderedDict

from sqlalchemy import func, select

from gateway.approvals.ticket import Ticket
from gateway.metrics import Metrics
from gateway.store import Store
from gateway.tables import tickets

_REMEMBERED = 10_000
_OPEN = ("pending", "approved")


class Counts:
    """Counts what is heard of tickets, from now on."""

    def __init__(self, metrics: Metrics, store: Store) -> None:
        self._metrics = metrics
        self._store = store
        self._told: OrderedDict[str, int] = OrderedDict()
        """Decisions that were counted, by ticket, of the tickets last heard of."""
        self._open: dict[str, tuple[str, str]] = {}
        """Kind and state, by ticket, of all that are open."""
        rows = store.read(select(tickets.c.id, tickets.c.kind, tickets.c.state).where(tickets.c.state.in_(_OPEN)))
        for row in rows:
            self._move(row.id, row.kind, row.state)
        self._since = store.read(select(func.max(tickets.c.decided)))[0][0] or 0.0

    def heard(self, ticket: Ticket) -> None:
        self._move(ticket.id, ticket.kind, ticket.state)
        counted = self._told.pop(ticket.id, 0)
        new = [each for each in ticket.decisions[counted:] if each.at > self._since]
        for each in new:
            self._metrics.decisions.labels("edit" if each.edited else each.verdict).inc()
        if new and ticket.decided is not None:
            self._metrics.ticket_wait.observe(max(0.0, ticket.decided - ticket.opened))
        self._told[ticket.id] = len(ticket.decisions)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    def _move(self, ticket: str, kind: str, state: str) -> None:
        if (before := self._open.pop(ticket, None)) is not None:
            self._metrics.tickets.labels(*before).dec()
        if state in _OPEN:
            self._open[ticket] = (kind, state)
            self._metrics.tickets.labels(kind, state).inc()
