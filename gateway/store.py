"""One SQLite log and its projections, written by one thread that commits in groups.

`append` returns when its rows are durable. As many waiting appends as there are go into one transaction,
so that durability costs one fsync a group, not one a call.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Executable,
    Float,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
)
from sqlalchemy.pool import PoolProxiedConnection

from gateway.errors import Unrecorded

log = logging.getLogger("toolgate.store")

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("call", String(32), nullable=False),
    Column("agent", String(64), nullable=False),
    Column("server", String(64), nullable=False),
    Column("tool", String(256), nullable=False),
    Column("run", String(256)),
    Column("reason", String(32)),
    Column("data", Text, nullable=False),
    Index("events_call", "call"),
    sqlite_autoincrement=True,
)
"""Append-only. `at` is seconds since the epoch; `data` is a JSON object; see `gateway.audit` for kinds."""

EVENT = ("at", "kind", "call", "agent", "server", "tool", "run", "reason", "data")
"""The columns of an event, in the order in which `Store.append` takes their values."""

EventRow = tuple[float, str, str, str, str, str, str | None, str | None, str]

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("agent", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
)
"""`digest` is HMAC-SHA256 of the whole token, hex; times are seconds since the epoch."""


@dataclass(slots=True)
class _Batch:
    rows: Sequence[EventRow]
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class Store:
    """The gateway's database in `path`. Opening creates it; `start` begins the writer thread.

    `on_commit(rows, seconds)` is told of each group commit, from the writer thread; 0 rows: it failed.
    """

    def __init__(self, path: Path, on_commit: Callable[[int, float], None] = lambda rows, seconds: None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 5.0})
        event.listen(self.engine, "connect", _pragmas)
        metadata.create_all(self.engine)
        dialect = self.engine.dialect
        self._insert = str(insert(events).values(**dict.fromkeys(EVENT)).compile(dialect=dialect))
        self._errors: type[Exception] = dialect.loaded_dbapi.Error
        self.failed: str | None = None
        self._on_commit = on_commit
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._write_forever, name="toolgate-store", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the writer thread and close the database."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self.engine.dispose()

    def append(self, *rows: EventRow) -> asyncio.Future[None]:
        """Hand event rows to the writer now; the future ends when they are durable.

        It raises Unrecorded when they could not be written. Rows handed in from one task keep their order.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        done.add_done_callback(_retrieve)
        self._queue.put(_Batch(rows, done, loop))
        return done

    def read(self, statement: Executable) -> Sequence[Row[Any]]:
        with self.engine.connect() as connection:
            return connection.execute(statement).all()

    def write(self, *statements: Executable) -> int:
        """Run statements in one transaction; the number of rows the last one touched."""
        touched = 0
        with self.engine.begin() as connection:
            for statement in statements:
                touched = connection.execute(statement).rowcount
        return touched

    def _write_forever(self) -> None:
        closing = False
        # The driver's own connection: a commit is on every call's way, and Core's machinery costs as much again.
        driver = self.engine.raw_connection()
        try:
            while not closing:
                batches = [self._queue.get()]
                while not self._queue.empty():
                    batches.append(self._queue.get())
                closing = None in batches
                waiting = [batch for batch in batches if batch is not None]
                if waiting:
                    self._settle(waiting, self._commit(driver, waiting))
        finally:
            driver.close()

    def _commit(self, driver: PoolProxiedConnection, batches: list[_Batch]) -> str | None:
        """Write the batches in one transaction; what went wrong, or None."""
        started = time.perf_counter()
        rows = [row for batch in batches for row in batch.rows]
        try:
            driver.cursor().executemany(self._insert, rows)
            driver.commit()
        except self._errors as error:
            driver.rollback()
            problem = type(error).__name__
            if self.failed is None:
                log.error("events cannot be written (%s): no tool runs until they can", problem)
            self.failed = problem
            self._on_commit(0, 0.0)
            return problem
        if self.failed is not None:
            log.warning("events can be written again")
        self.failed = None
        self._on_commit(len(rows), time.perf_counter() - started)
        return None

    @staticmethod
    def _settle(batches: list[_Batch], problem: str | None) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for batch in batches:
            by_loop.setdefault(batch.loop, []).append(batch.done)
        for loop, futures in by_loop.items():
            try:
                loop.call_soon_threadsafe(_finish, futures, problem)
            except RuntimeError:  # the loop is closed: nobody waits any more
                log.debug("%d appends finished after their loop closed", len(futures))


def _finish(futures: list[asyncio.Future[None]], problem: str | None) -> None:
    for future in futures:
        if future.done():
            continue
        if problem is None:
            future.set_result(None)
        else:
            future.set_exception(
                Unrecorded(
                    "The gateway cannot write its audit log, so no tool may run. Try again later.",
                    retry_after=5.0,
                )
            )


def _retrieve(future: asyncio.Future[None]) -> None:
    """Mark the exception as seen: an append nobody awaits (a cancelled call) must not warn at exit."""
    if not future.cancelled():
        future.exception()


def _pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()
