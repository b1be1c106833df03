"""One SQLite log and its projections, written by one thread that commits in groups.

An append ends when its rows are durable; a piece of work, which may change several tables and append events, is written
whole or not at all. As many as wait go into one transaction, so that durability costs one fsync a group, not one a
call. A database that cannot be written, or a disk that does not answer, fails them within seconds; the writer goes on
trying until it can write again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Executable, Row
from sqlalchemy.exc import OperationalError

from gateway.errors import ToolgateError, Unrecorded
from gateway.events import EventRow, insert_events
from gateway.migrate import open_engine
from gateway.tables import metadata

log = logging.getLogger("toolgate.store")

_PATIENCE = 1.5
"""Seconds an append may wait; the caller must hear within two that nothing can be written."""
_BUSY = 0.7
"""Seconds the writer waits for another process's lock: an append may have to sit through two such waits."""
_TRY_AGAIN = 0.5
"""Seconds between attempts to write while nothing could be written and nobody asks."""

_MOST_ROWS = 100
"""Events in one group: every SQLite takes 999 values in a statement, and the driver keeps 128 statements compiled."""

T = TypeVar("T")

Work = Callable[[Connection], T]
"""Reads and writes within a transaction that it does not end. Quick, and of the database only: all calls wait for it.

What it raises undoes what it did, and is its caller's.
"""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    """An event or a piece of work that waits to be written. `given_up`: the caller was told no, so it must not be
    written any more.
    """

    task: EventRow | Work[T]
    done: asyncio.Future[T]
    loop: asyncio.AbstractEventLoop
    timer: asyncio.TimerHandle | None = None
    given_up: bool = False
    result: Any = None
    error: BaseException | None = None


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
        self._queue: queue.SimpleQueue[_Waiting[Any] | None] = queue.SimpleQueue()
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

        It raises Unrecorded when it could not be written in time. What is handed in from one task keeps its order.
        """
        return self._hand_in(row)

    def transact(self, work: Work[T]) -> asyncio.Future[T]:
        """Hand a piece of work to the writer now; the future ends, with what it returns, when all of it is durable.

        It raises what the work raises, or Unrecorded when it could not be written in time: then it is written after
        all only if it was under way.
        """
        return self._hand_in(work)

    def _hand_in(self, task: EventRow | Work[T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        if self._stalled:
            _refuse(done)
            return done
        waiting = _Waiting(task, done, loop)
        waiting.timer = loop.call_later(_PATIENCE, self._give_up, waiting)
        self._queue.put(waiting)
        return done

    def _give_up(self, waiting: _Waiting[Any]) -> None:
        """Tell the caller no; until the writer moves again, the next ones are told at once."""
        waiting.given_up = self._stalled = True
        self._fail("Stalled")
        _finish([waiting], self.failed)

    def run(self, work: Work[T]) -> T:
        """Do a piece of work here and now, in the caller's thread. Raises what it raises, or SQLAlchemyError."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
        return result

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
        # Without isolation level a statement is a transaction. Where BEGIN and COMMIT are statements of their own the
        # driver lets go of the interpreter lock for each, and under load waits each time until it has it again.
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY * 1000:.0f}")
        try:
            closing = False
            while not closing:
                taken = self._gather()
                closing = None in taken
                group = [waiting for waiting in taken if waiting is not None and not waiting.given_up]
                if group or self.failed is not None:
                    _settle(group, self._commit(connection, group))
        finally:
            connection.invalidate()  # its busy_timeout is not for others
            connection.close()

    def _gather(self) -> list[_Waiting[Any] | None]:
        """All that waits to be written; empty when nothing came for a while."""
        try:
            taken = [self._queue.get(timeout=_TRY_AGAIN)]
        except queue.Empty:
            return []
        while not self._queue.empty() and len(taken) < _MOST_ROWS:
            taken.append(self._queue.get_nowait())
        return taken

    def _commit(self, connection: Connection, group: list[_Waiting[Any]]) -> str | None:
        """Write a group in one transaction; what went wrong, or None. After a failure the gap is put on record."""
        started = time.perf_counter()
        gapped = self.failed is not None
        if gapped:
            gap = json.dumps({"problem": self.failed, "since": self._failed_at})
            row: EventRow = (self._clock(), "gap", "", "", "", "", None, None, gap)
            group = [_Waiting(row, None, None), *group]  # type: ignore[arg-type] # nobody waits for it
        try:
            rows = [waiting.task for waiting in group if not callable(waiting.task)]
            if len(rows) == len(group):
                insert_events(connection, rows)
            else:
                _work_through(connection, group)
            if gapped:
                # Before `_stalled`: what gives up from here on fails it again, and so has the next round come.
                self.failed = None
        except Exception as error:  # whatever it is, the thread must live to write the next group
            self._fail(type(error).__name__)
            return self.failed
        finally:
            self._stalled = False
        if gapped:
            log.warning("events can be written again")
        # What stalled meanwhile is put on record by the next round, which comes by itself.
        self._on_commit(len(group), time.perf_counter() - started)
        return None

    def _fail(self, problem: str) -> None:
        if self.failed is None:
            self._failed_at = self._clock()
            log.error("events cannot be written (%s): no tool runs until they can", problem)
        self.failed = problem
        self._on_commit(0, 0.0)


def _work_through(connection: Connection, group: list[_Waiting[Any]]) -> None:
    """Write a group with work in it. Raises, and has written nothing, when the database cannot be written."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        for waiting in group:
            if callable(waiting.task):
                _work(connection, waiting)
            else:
                insert_events(connection, [waiting.task])
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _work(connection: Connection, waiting: _Waiting[Any]) -> None:
    """One piece of work within its group: what it raises undoes it alone, unless it is the database that fails."""
    assert callable(waiting.task)
    connection.exec_driver_sql("SAVEPOINT work")
    try:
        waiting.result = waiting.task(connection)
    except (OperationalError, sqlite3.OperationalError):  # the latter where events are written by the driver
        raise
    except Exception as error:
        if not isinstance(error, ToolgateError):
            log.exception("a piece of work failed inside the gateway")
        waiting.error = error
        connection.exec_driver_sql("ROLLBACK TO work")
    connection.exec_driver_sql("RELEASE work")


def _roll_back(connection: Connection) -> None:
    with contextlib.suppress(OperationalError):  # SQLite has done so itself after some errors
        connection.exec_driver_sql("ROLLBACK")


def _settle(group: list[_Waiting[Any]], problem: str | None) -> None:
    for loop in {waiting.loop for waiting in group}:
        ended = [waiting for waiting in group if waiting.loop is loop]
        try:
            loop.call_soon_threadsafe(_finish, ended, problem)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("%d writes finished after their loop closed", len(ended))


def _finish(ended: list[_Waiting[Any]], problem: str | None) -> None:
    for waiting in ended:
        if waiting.timer is not None:
            waiting.timer.cancel()
        if waiting.done.done():
            continue
        if problem is not None:
            _refuse(waiting.done)
        elif waiting.error is not None:
            waiting.done.set_exception(waiting.error)
            waiting.done.exception()  # seen: see _refuse
        else:
            waiting.done.set_result(waiting.result)


def _refuse(done: asyncio.Future[Any]) -> None:
    done.set_exception(_unrecorded())
    done.exception()  # seen, for what nobody waits for (a cancelled call) must not warn at exit


def _unrecorded() -> Unrecorded:
    return Unrecorded(
        "The gateway cannot write its audit log, so no tool may run. Try again later.",
        retry_after=5.0,
    )
