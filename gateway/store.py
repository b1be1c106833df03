"""One log and its projections, on SQLite or PostgreSQL, written by one thread that commits in groups.

An append ends when its rows are durable; a piece of work, which may change several tables and append events, is written
whole or not at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, Executable, Row
from sqlalchemy.exc import SQLAlchemyError

from gateway.aside import aside
from gateway.database import Database
from gateway.errors import Unrecorded
from gateway.events import EventRow
from gateway.secret import secret_key
from gateway.writer import PATIENCE, Work, Writer

__all__ = ["Store", "Work"]

T = TypeVar("T")


class Store:
    """The gateway's database: a SQLite file `path`, or PostgreSQL where `url` is given; then `path` only says where
    the state folder is. Opening creates what is missing; `start` begins the writer thread.

    `chain` is the chain its events go to, where there are several; `secret` is the file of the key, where it is not
    beside the store. `on_commit(rows, seconds)` is told of each group commit, from any thread; 0 rows: it failed.
    """

    def __init__(
        self,
        path: Path,
        on_commit: Callable[[int, float], None] = lambda rows, seconds: None,
        clock: Callable[[], float] = time.time,
        *,
        url: str | None = None,
        chain: str = "main",
        secret: Path | None = None,
    ) -> None:
        self.path = path
        self._secret_file = secret
        self.database = Database(path, url, chain)
        self._writer = Writer(self.database, on_commit, clock)

    @cached_property
    def secret(self) -> bytes:
        """What is kept in the store is keyed with this: see `secret_key`. Raises ConfigError and OSError."""
        return secret_key(self.path.parent, self._secret_file)

    @property
    def engine(self) -> Engine:
        return self.database.engine

    @property
    def failed(self) -> str | None:
        """What keeps events from being written now, None when nothing does."""
        return self._writer.failed

    def start(self) -> None:
        self._writer.start()

    def stop(self) -> None:
        """Write what is waiting, then end the writer thread and close the database; a stuck one is left behind."""
        self._writer.stop()
        self.database.close()

    def append(self, row: EventRow) -> asyncio.Future[None]:
        """Hand an event to the writer now; the future ends when it is durable.

        It raises Unrecorded when it could not be written in time. What is handed in from one task keeps its order.
        """
        return self._writer.hand_in(row)

    def transact(self, work: Work[T]) -> asyncio.Future[T]:
        """Hand a piece of work to the writer now; the future ends, with what it returns, when all of it is durable.

        It raises what the work raises, or Unrecorded when it could not be written in time: then it is written after
        all only if it was under way.
        """
        return self._writer.hand_in(work)

    def run(self, work: Work[T]) -> T:
        """Do a piece of work here and now, in the caller's thread. Raises what it raises, or SQLAlchemyError."""
        chain = self.database.new_chain()
        with self.database.connect() as connection, self.database.transaction(connection, chain):
            return work(connection)

    async def look(self, work: Callable[[], T]) -> T:
        """What `work` reads, beside the event loop. Raises what it raises, but Unrecorded when the store cannot be
        read, or not in time.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await aside(work)
        except (SQLAlchemyError, TimeoutError):
            raise Unrecorded("The gateway cannot read its store now. Try again later.", retry_after=5.0) from None

    def read(self, statement: Executable) -> Sequence[Row[Any]]:
        """All rows, read here and now. Raises SQLAlchemyError."""
        with self.database.connect() as connection:
            return connection.execute(statement).all()
