"""The thread that writes: whatever waits goes into one transaction, so that durability costs one fsync a group."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from gateway.chain import MOST_ROWS, Chain
from gateway.database import Database, alone
from gateway.errors import ToolgateError, Unrecorded
from gateway.events import EventRow, insert_events

log = logging.getLogger("toolgate.store")

PATIENCE = 1.5
"""Seconds an append may wait without any group being written; the caller must hear within two that nothing can be."""
_BUSY = 0.7
"""Seconds the writer waits for another process's lock: an append may have to sit through two such waits."""
_BUSY_SHARED = 1.4
"""The same where replicas take turns: on a busy machine that of several others takes so long, and who asks again for a
turn is the last in the queue. A caller's patience is not longer.
"""
_TRY_AGAIN = 0.5
"""Seconds between attempts to write while nothing could be written and nobody asks."""

T = TypeVar("T")

Work = Callable[[Connection], T]
"""Reads and writes within a transaction that it does not end. Quick, and of the database only: all calls wait for it.

What it raises undoes what it did, and is its caller's.
"""


@dataclass(slots=True, eq=False)
class Waiting(Generic[T]):
    """An event or a piece of work that waits to be written, `since` when, monotonic. `given_up`: the caller was told
    no, so it must not be written any more. Nobody waits for one without `done` and `loop`.
    """

    task: EventRow | Work[T]
    since: float = 0.0
    done: asyncio.Future[T] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    timer: asyncio.TimerHandle | None = None
    given_up: bool = False
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Writes to `database` until it is stopped. `failed` is what keeps it from writing now, None when nothing does.

    A database that cannot be written, or a disk that does not answer, fails what waits within seconds; it goes on
    trying until it can write again.
    """

    def __init__(self, database: Database, on_commit: Callable[[int, float], None], clock: Callable[[], float]) -> None:
        self.failed: str | None = None
        self._database = database
        self._on_commit = on_commit
        self._clock = clock
        self._failed_at = 0.0
        self._stalled = False
        self._moved = 0.0
        self._queue: queue.SimpleQueue[Waiting[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._write_forever, name="toolgate-store", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the thread; a stuck one is left behind."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(PATIENCE)
            self._thread = None

    def hand_in(self, task: EventRow | Work[T]) -> asyncio.Future[T]:
        """To be written now; the future ends when it is, or raises Unrecorded when it could not be in time."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        if self._stalled:
            _refuse(done)
            return done
        waiting = Waiting(task, time.monotonic(), done, loop)
        waiting.timer = loop.call_later(PATIENCE, self._give_up, waiting)
        self._queue.put(waiting)
        return done

    def _give_up(self, waiting: Waiting[Any]) -> None:
        """Tell the caller no; until the writer moves again, the next ones are told at once. One that only waits for its
        turn, while others are written, goes on waiting.
        """
        if waiting.loop is not None and self._moved >= waiting.since:
            waiting.since = time.monotonic()
            waiting.timer = waiting.loop.call_later(PATIENCE, self._give_up, waiting)
            return
        waiting.given_up = self._stalled = True
        self._fail("Stalled")
        _finish([waiting], self.failed)

    def _write_forever(self) -> None:
        chain = self._database.new_chain()
        connection: Connection | None = None
        shared, closing = self._database.postgresql, False
        while not closing:
            taken = self._gather()
            closing = None in taken
            group = [waiting for waiting in taken if waiting is not None and not waiting.given_up]
            if not group and self.failed is None:
                continue
            try:
                connection = connection or self._database.writing(_BUSY_SHARED if shared else _BUSY)
                self._commit(connection, chain, group)
            except Exception as error:  # whatever it is, the thread must live to write the next group
                chain.forget()
                _discard(connection)
                connection = None
                self._fail(type(error).__name__)
                self._stalled = False
                _settle(group, self.failed)
            else:
                _settle(group, None)
        _discard(connection)

    def _gather(self) -> list[Waiting[Any] | None]:
        """All that waits to be written; empty when nothing came for a while."""
        try:
            taken = [self._queue.get(timeout=_TRY_AGAIN)]
        except queue.Empty:
            return []
        while not self._queue.empty() and len(taken) < MOST_ROWS:
            taken.append(self._queue.get_nowait())
        return taken

    def _commit(self, connection: Connection, chain: Chain, group: list[Waiting[Any]]) -> None:
        """Write a group in one transaction. After a failure the gap is put on record."""
        started = time.perf_counter()
        gapped = self.failed is not None
        if gapped:
            gap = json.dumps({"problem": self.failed, "since": self._failed_at})
            group = [Waiting((self._clock(), "gap", "", "", "", "", None, None, gap)), *group]
        rows = [waiting.task for waiting in group if not callable(waiting.task)]
        if len(rows) == len(group):
            # A statement is a transaction. Where BEGIN and COMMIT are statements of their own the driver lets go of the
            # interpreter lock for each, and under load waits each time until it has it again.
            chain.write(connection, rows)
        else:
            self._work_through(connection, chain, group)
        if gapped:
            # Before `_stalled`: what gives up from here on fails it again, and so has the next round come.
            self.failed = None
        self._stalled = False
        if gapped:
            log.warning("events can be written again")
        # What stalled meanwhile is put on record by the next round, which comes by itself.
        self._on_commit(len(group), time.perf_counter() - started)
        self._moved = time.monotonic()

    def _work_through(self, connection: Connection, chain: Chain, group: list[Waiting[Any]]) -> None:
        """Write a group with work in it. Raises, and has written nothing, when the database cannot be written."""
        with self._database.transaction(connection, chain):
            for waiting in group:
                if callable(waiting.task):
                    _work(connection, waiting)
                else:
                    insert_events(connection, [waiting.task])

    def _fail(self, problem: str) -> None:
        if self.failed is None:
            self._failed_at = self._clock()
            log.error("events cannot be written (%s): no tool runs until they can", problem)
        self.failed = problem
        self._on_commit(0, 0.0)


def _work(connection: Connection, waiting: Waiting[Any]) -> None:
    """One piece of work within its group: what it raises undoes it alone, unless it is the database that fails."""
    assert callable(waiting.task)
    try:
        with alone(connection):
            waiting.result = waiting.task(connection)
    except OperationalError:
        raise
    except Exception as error:
        if not isinstance(error, ToolgateError):
            log.exception("a piece of work failed inside the gateway")
        waiting.error = error


def _discard(connection: Connection | None) -> None:
    """Its settings are not for others, and it may be broken."""
    if connection is not None:
        connection.invalidate()
        connection.close()


def _settle(group: list[Waiting[Any]], problem: str | None) -> None:
    for loop in {waiting.loop for waiting in group if waiting.loop is not None}:
        ended = [waiting for waiting in group if waiting.loop is loop]
        try:
            loop.call_soon_threadsafe(_finish, ended, problem)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("%d writes finished after their loop closed", len(ended))


def _finish(ended: list[Waiting[Any]], problem: str | None) -> None:
    for waiting in ended:
        if waiting.timer is not None:
            waiting.timer.cancel()
        if waiting.done is None or waiting.done.done():
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
