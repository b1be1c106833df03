"""One SQLite log and its projections, written by one thread that commits in groups.

An append ends when its rows are durable. As many waiting appends as there are go into one transaction,
so that durability costs one fsync a group, not one a call. A database that cannot be written, or a disk
that does not answer, fails appends within seconds; the writer goes on trying until it can write again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Executable,
    Float,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
)

from gateway.errors import Unrecorded
from gateway.migrate import open_engine

log = logging.getLogger("toolgate.store")

_PATIENCE = 1.5
"""Seconds an append may wait; the caller must hear within two that nothing can be written."""
_BUSY = 0.7
"""Seconds the writer waits for another process's lock: an append may have to sit through two such waits."""
_TRY_AGAIN = 0.5
"""Seconds between attempts to write while nothing could be written and nobody asks."""

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
)
"""Append-only, so `seq` grows and no number comes twice. `at` is seconds since the epoch; `data` is a JSON object;
see `gateway.audit` for kinds. There is no index besides `seq`: each would cost every commit another page."""

EVENT = ("at", "kind", "call", "agent", "server", "tool", "run", "reason", "data")
"""The columns of an event, in the order in which `Store.append` takes their values."""

_MOST_ROWS = 100
"""Events in one group: every SQLite takes 999 values in a statement, and the driver keeps 128 statements compiled."""

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
    Column("claims", Text),
)
"""`digest` is HMAC-SHA256 of the whole token, hex; times are seconds since the epoch; `claims` is a JSON object."""

pins = Table(
    "pins",
    metadata,
    Column("server", String(32), primary_key=True),
    Column("tool", String(128), primary_key=True),
    Column("digest", String(64)),
    Column("definition", Text),
    Column("offered_digest", String(64)),
    Column("offered", Text),
    Column("why", String(256)),
    Column("at", Float, nullable=False),
    Column("revision", Integer, nullable=False),
)
"""A tool's definition in force, NULL for one never accepted, and the one offered instead, NULL when there is none.

`revision` grows with each change of the row, so that the sum over all rows tells whether there was any.
"""


@dataclass(slots=True, eq=False)
class _Append:
    """An event that waits to be written. `given_up`: the caller was told no, so it must not be written any more."""

    row: EventRow
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop
    timer: asyncio.TimerHandle | None = None
    given_up: bool = False


class Store:
    """The gateway's database in `path`. Opening creates it; `start` begins the writer thread.

    `on_commit(rows, seconds)` is told of each group commit, from any thread; 0 rows: it failed. `failed` is
    what keeps events from being written now, None when nothing does.
    """

    def __init__(
        self,
        path: Path,
        on_commit: Callable[[int, float], None] = lambda rows, seconds: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # The log holds arguments in clear: it is for its owner only.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self.path = path
        self.engine = open_engine(path, metadata)
        self.failed: str | None = None
        self._failed_at = 0.0
        self._stalled = False
        self._on_commit = on_commit
        self._clock = clock
        self._queue: queue.SimpleQueue[_Append | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._write_forever, name="toolgate-store", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the writer thread and close the database; a stuck one is left behind."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(_PATIENCE)
            self._thread = None
        self.engine.dispose()

    def append(self, row: EventRow) -> asyncio.Future[None]:
        """Hand an event to the writer now; the future ends when it is durable.

        It raises Unrecorded when it could not be written in time. Events handed in from one task keep their order.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._stalled:
            _refuse(done)
            return done
        append = _Append(row, done, loop)
        append.timer = loop.call_later(_PATIENCE, self._give_up, append)
        self._queue.put(append)
        return done

    def _give_up(self, append: _Append) -> None:
        """Tell the caller no; until the writer moves again, the next ones are told at once."""
        append.given_up = self._stalled = True
        self._fail("Stalled")
        _finish([append], self.failed)

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
        # The driver's own connection: a commit is on every call's way, and Core's machinery costs as much again.
        pooled = self.engine.raw_connection()
        driver: Any = pooled.driver_connection
        pooled.detach()
        # Without isolation level a statement is a transaction. Where BEGIN and COMMIT are statements of their own the
        # driver lets go of the interpreter lock for each, and under load waits each time until it has it again.
        driver.isolation_level = None
        driver.execute(f"PRAGMA busy_timeout={_BUSY * 1000:.0f}")
        try:
            closing = False
            while not closing:
                taken = self._gather()
                closing = None in taken
                waiting = [append for append in taken if append is not None and not append.given_up]
                if waiting or self.failed is not None:
                    _settle(waiting, self._commit(driver, [append.row for append in waiting]))
        finally:
            driver.close()

    def _gather(self) -> list[_Append | None]:
        """All that waits to be written; empty when nothing came for a while."""
        try:
            taken = [self._queue.get(timeout=_TRY_AGAIN)]
        except queue.Empty:
            return []
        while not self._queue.empty() and len(taken) < _MOST_ROWS:
            taken.append(self._queue.get_nowait())
        return taken

    def _commit(self, driver: Any, rows: list[EventRow]) -> str | None:
        """Write the rows in one transaction; what went wrong, or None. After a failure the gap is put on record."""
        started = time.perf_counter()
        gapped = self.failed is not None
        if gapped:
            gap = json.dumps({"problem": self.failed, "since": self._failed_at})
            rows.insert(0, (self._clock(), "gap", "", "", "", "", None, None, gap))
        try:
            driver.execute(_insert(len(rows)), [value for row in rows for value in row])
        except Exception as error:  # whatever it is, the thread must live to write the next group
            self._fail(type(error).__name__)
            return self.failed
        finally:
            self._stalled = False
        if gapped:
            log.warning("events can be written again")
            self.failed = None
        # What stalled meanwhile is put on record by the next round, which comes by itself.
        self._on_commit(len(rows), time.perf_counter() - started)
        return None

    def _fail(self, problem: str) -> None:
        if self.failed is None:
            self._failed_at = self._clock()
            log.error("events cannot be written (%s): no tool runs until they can", problem)
        self.failed = problem
        self._on_commit(0, 0.0)


@cache
def _insert(rows: int) -> str:
    """The statement for a group of events. It is one, for the driver takes the interpreter lock back after each."""
    row = f"({', '.join('?' * len(EVENT))})"
    return f"INSERT INTO events ({', '.join(EVENT)}) VALUES {', '.join([row] * rows)}"


def _settle(appends: list[_Append], problem: str | None) -> None:
    for loop in {append.loop for append in appends}:
        group = [append for append in appends if append.loop is loop]
        try:
            loop.call_soon_threadsafe(_finish, group, problem)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("%d appends finished after their loop closed", len(group))


def _finish(appends: list[_Append], problem: str | None) -> None:
    for append in appends:
        if append.timer is not None:
            append.timer.cancel()
        if append.done.done():
            continue
        if problem is None:
            append.done.set_result(None)
        else:
            _refuse(append.done)


def _refuse(done: asyncio.Future[None]) -> None:
    done.set_exception(_unrecorded())
    done.exception()  # seen, for what nobody waits for (a cancelled call) must not warn at exit


def _unrecorded() -> Unrecorded:
    return Unrecorded(
        "The gateway cannot write its audit log, so no tool may run. Try again later.",
        retry_after=5.0,
    )
