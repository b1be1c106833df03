"""Read-only mode: while it is on, for one agent or for all, only tools declared read-only run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.changes import Changes, bump
from gateway.events import event_row, insert_events
from gateway.store import Store
from gateway.tables import switches

log = logging.getLogger("toolgate.modes")

_ALL = select(switches.c.agent, switches.c.by, switches.c.at).order_by(switches.c.agent)


@dataclass(frozen=True, slots=True)
class Switch:
    """Read-only mode that is on: for `agent`, the empty name is the whole gateway; since when, and by whom."""

    agent: str
    by: str
    at: float


class Modes:
    """The switches in `store`, kept in memory; changes of other processes are noticed by `refresh_if_changed`."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._changes = Changes(store, "switches")
        self._on: dict[str, Switch] = {}
        self.refresh_if_changed()

    def read_only(self, agent: str) -> bool:
        """Whether this agent may only read now."""
        return "" in self._on or agent in self._on

    def switch(self, agent: str, on: bool, by: str) -> bool:
        """Turn it on or off, with its event; False when it stood so already. Raises SQLAlchemyError."""
        changed = self._store.run(lambda connection: self._switch(connection, agent, on, by))
        self.refresh_if_changed()
        return changed

    def refresh_if_changed(self) -> bool:
        """Read the switches again if the store changed since the last look; True if there are others than before.

        What was known stays in force while the store cannot be read.
        """
        try:
            rows = self._changes.news(_ALL)
        except SQLAlchemyError as error:
            log.error("read-only mode cannot be looked at (%s): changes wait until it can", type(error).__name__)
            return False
        if rows is None:
            return False
        found = {row.agent: Switch(row.agent, row.by, row.at) for row in rows}
        changed, self._on = found != self._on, found
        return changed

    def listed(self) -> list[Switch]:
        """What is on, the whole gateway first."""
        return list(self._on.values())

    def close(self) -> None:
        self._changes.close()

    def _switch(self, connection: Connection, agent: str, on: bool, by: str) -> bool:
        there = switches.c.agent == agent
        if (connection.execute(select(switches.c.agent).where(there).with_for_update()).first() is not None) == on:
            return False
        now = self._clock()
        values = {"agent": agent, "by": by, "at": now}
        connection.execute(insert(switches).values(values) if on else delete(switches).where(there))
        bump(connection, "switches")
        insert_events(connection, [event_row(now, "mode", {"read_only": on, "by": by}, agent=agent)])
        return True
