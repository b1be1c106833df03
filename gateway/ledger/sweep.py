"""What need not be kept any longer."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, tuple_

from gateway.tables import accounts, calls, reservations, runs

_MOST = 500
"""Rows removed at once: calls wait meanwhile."""
_WINDOWS = 2 * 86_400.0
"""Seconds after which no window is open but that of a run."""
_SHORT = 600.0
"""The same for windows of a second, of which there are so many that they cannot be kept for days."""


def sweep(connection: Connection, now: float, keep: float) -> bool:
    """Remove some replies older than `keep` seconds, and sums of windows that are over; whether there may be more."""
    over = calls.c.state.in_(("done", "undone", "lost"))
    old = select(calls.c.id).where(over, calls.c.at < now - keep).order_by(calls.c.at).limit(_MOST)
    replies = connection.execute(delete(calls).where(calls.c.id.in_(old)))
    key = tuple_(accounts.c.account, accounts.c.window)
    # Each of the two is read once, and not again for every account.
    held = key.in_(select(reservations.c.account, reservations.c.window))
    active = accounts.c.window.in_(select(runs.c.run).where(runs.c.state == "active"))
    short = accounts.c.account.endswith("/second") & (accounts.c.at < now - _SHORT)
    closed = select(accounts.c.account, accounts.c.window).where(
        short | (accounts.c.at < now - _WINDOWS), ~held, ~active
    )
    sums = connection.execute(delete(accounts).where(key.in_(closed.limit(_MOST))))
    return max(replies.rowcount, sums.rowcount) == _MOST
