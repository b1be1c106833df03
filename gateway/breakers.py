"""Circuit breakers of replicas that share a database: who opens or closes one tells the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.aside import aside
from gateway.changes import Changes, bump
from gateway.store import Store
from gateway.tables import breakers

log = logging.getLogger("toolgate.breakers")

TOPIC = "breakers"
_LOOK = 0.5

State = Literal["closed", "open"]

Adopt = Callable[[str, State, bool], None]
"""Told of a server, the state of its breaker elsewhere, and whether that is news: if not, it may be long ago."""


class Breakers:
    """Belongs to the event loop. On SQLite there is nobody to tell. What cannot be told now is left: each replica finds
    out by itself too.
    """

    def __init__(self, store: Store, owner: str, clock: Callable[[], float] = time.time) -> None:
        self._store, self._owner, self._clock = store, owner, clock
        self._shared = store.database.postgresql
        self._adopters: list[Adopt] = []
        self._known: dict[str, tuple[str, float]] | None = None

    def heard(self, adopt: Adopt) -> None:
        """Have it told of what the others say."""
        self._adopters.append(adopt)

    def tell(self, server: str, state: State) -> None:
        """The breaker of this server is open or closed now, and a probe that failed says open again."""
        if self._shared:
            self._store.transact(lambda connection: self._write(connection, server, state))

    def _write(self, connection: Connection, server: str, state: State) -> None:
        values = {"state": state, "since": self._clock(), "owner": self._owner}
        there = connection.execute(breakers.update().where(breakers.c.server == server).values(**values))
        if there.rowcount == 0:
            connection.execute(breakers.insert().values(server=server, **values))
        bump(connection, TOPIC)

    async def run(self) -> None:
        """Hear of the others, for ever."""
        changes = Changes(self._store, TOPIC)
        try:
            while self._shared:
                try:
                    rows = await aside(partial(changes.news, select(breakers)))
                except SQLAlchemyError as error:
                    log.debug("breakers of other replicas cannot be read now (%s)", type(error).__name__)
                else:
                    self._hear(rows or ())
                await asyncio.sleep(_LOOK)
        finally:
            changes.close()

    def _hear(self, rows: Iterable[Row[Any]]) -> None:
        before, first = self._known or {}, self._known is None
        self._known = before | {row.server: (row.owner, row.since) for row in rows}
        for row in rows:
            if row.owner != self._owner and before.get(row.server) != (row.owner, row.since):
                for adopt in self._adopters:
                    adopt(row.server, row.state, not first)
