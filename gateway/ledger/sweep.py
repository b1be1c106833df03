"""What need not be kept any longer."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, select, tuple_

from gateway.tables import accounts, calls, reservations, runs

_MOST = 500
"""Rows removed at once: calls wait meanwhile."""
_WINDOWS = 2 * 86_400.0
"""Seconds after which no window is open but that of a run."""


def sweep(connection: Connection, now: float, keep: float) -> bool:
    """Remove some replies older than `keep` seconds, and sums of windows that are over; whether there may be more."""
    old = select(calls.c.id).where(calls.c.state == "done", calls.c.at < now - keep).order_by(calls.c.at).limit(_MOST)
    replies = connection.execute(delete(calls).where(calls.c.id.in_(old)))
    held = exists().where(reservations.c.account == accounts.c.account, reservations.c.window == accounts.c.window)
    active = exists().where(runs.c.run == accounts.c.window, runs.c.state == "active")
    key = (accounts.c.account, accounts.c.window)
    over = select(*key).where(accounts.c.at < now - _WINDOWS, ~held, ~active).limit(_MOST)
    sums = connection.execute(delete(accounts).where(tuple_(*key).in_(over)))
    return max(replies.rowcount, sums.rowcount) == _MOST
