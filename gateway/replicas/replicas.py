"""One process among those that share the database: it says that it lives, sees who does not, and may have the duty.

On SQLite there is no other: the lock of the state folder sees to that, and the duty is always its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from gateway.aside import aside
from gateway.audit import unfinished
from gateway.errors import ConfigError, Problem, ToolgateError
from gateway.ledger import Ledger
from gateway.lock import exclusive
from gateway.metrics import Metrics
from gateway.replicas import roll
from gateway.replicas.roll import DUTY_SECONDS, SILENCE, Replica
from gateway.replicas.watch import Watch
from gateway.store import Store

log = logging.getLogger("toolgate.replicas")

_BEAT = 1.0
_MARGIN = 1.0
"""Seconds by which it stops earlier than others may think it has: to have the duty, or to send calls."""
_PATIENCE = 3.0
"""Seconds that a new process waits for the name of one that has just ended."""

T = TypeVar("T")

Begun = Sequence[Row[Any]]
"""Intent events of calls that have no outcome."""


class _Seen(NamedTuple):
    duty: bool
    others: list[Replica]
    returned: bool


class Replicas:
    """`owner` is this process, as in `calls`; `policy` tells the digest in force. `superseded` is called when another
    process has its name: one of the two was configured wrongly, or this one stood still for long. It stops then.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        metrics: Metrics,
        policy: Callable[[], str],
        name: str,
        address: str | None,
        superseded: Callable[[], None] = lambda: os.kill(os.getpid(), signal.SIGTERM),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.owner = ledger.owner
        self._store, self._ledger, self._metrics = store, ledger, metrics
        self._policy, self._address, self._superseded, self._clock = policy, address, superseded, clock
        self._shared = store.database.postgresql
        self._connection: Connection | None = None
        self._held = False
        self._watch = Watch(SILENCE)
        self._beaten = clock()
        self._until = 0.0
        self._told = False
        self._looking, self._leaving = asyncio.Lock(), False
        metrics.duty.set(0 if self._shared else 1)
        ledger.fenced = self.fenced

    def on_duty(self) -> bool:
        """Whether this process does what one does for all."""
        return not self._shared or (self._clock() < self._until and not self._leaving)

    def fenced(self) -> bool:
        """Whether others may take it for dead by now, so that it must not send anything: its calls may be settled."""
        return self._shared and self._clock() - self._beaten > SILENCE - _MARGIN

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Be the one process of this name, or of this state folder on SQLite. Calls that processes before it left open
        are unknown then. Before the writer is started. Raises ConfigError, SQLAlchemyError.
        """
        if not self._shared:
            with exclusive(self._store.path.parent):
                _tell(self._ledger.recover())
                yield
            return
        try:
            self._connect()
            self._wait_for_name()
            _tell(self._recover(self.name, self._enter))
            self._beaten = self._clock()
            yield
        finally:
            self._disconnect()

    async def run(self) -> None:
        """Beat, watch and recover, for ever."""
        while self._shared:
            begun = self._clock()
            try:
                await self._round(begun)
            except (SQLAlchemyError, ToolgateError) as error:
                self._watch.reset()
                if not self._told:
                    self._told = True
                    log.warning("the database cannot be used (%s): other replicas are not seen", type(error).__name__)
            except Exception:  # whatever it is: were this task to end, the others would take this process for dead
                self._watch.reset()
                log.exception("other replicas could not be looked at")
            self._metrics.duty.set(self.on_duty())
            await asyncio.sleep(max(0.0, begun + _BEAT - self._clock()))

    async def leave(self) -> None:
        """It stops in good order. No beat comes after that: it would have it back on the roll, and take the duty."""
        if self._shared:
            self._leaving = True
            with contextlib.suppress(ToolgateError, TimeoutError):
                async with asyncio.timeout(_PATIENCE), self._looking:
                    await self._store.transact(partial(roll.leave, owner=self.owner))

    async def _round(self, begun: float) -> None:
        async with self._looking:
            if self._leaving:
                return
            seen = await aside(self._look)
        self._beaten = begun
        self._until = begun + DUTY_SECONDS - _MARGIN if seen.duty else 0.0
        self._told = False
        self._metrics.replicas.set(sum(each.state == "alive" for each in seen.others))
        policies = {each.policy for each in seen.others if each.state == "alive"}
        self._metrics.policies_in_force.set(len(policies))
        if seen.returned:
            log.warning("this replica was silent for so long that others took it for dead")
            self._ledger.returned = True
        if self._ledger.returned:
            self._ledger.returned = await self._store.transact(self._ledger.reclaim)
        beats = {each.owner: each.beat for each in seen.others if each.owner != self.owner}
        dead = self._watch.look(beats, self._clock())
        if self.on_duty():
            # One a round: it may take a second, and the next beat is due.
            for each in [each for each in seen.others if each.owner in dead][:1]:
                await self._bury(each)

    def _look(self) -> _Seen:
        """Beside the loop, by the connection that holds the name: what has it beat sees it is there."""
        try:
            connection = self._connection or self._connect()
            self._held = self._held or roll.hold_name(connection, self.name)
            here, returned = roll.beat(connection, self.owner, self._policy()), False
            if not here:
                returned = roll.come_back(connection, self.owner, self.name, self._address, self._policy())
                if not returned:
                    log.critical("another process works under the name %s of this replica: it stops", self.name)
                    self._superseded()
            duty = (here or returned) and roll.take_duty(connection, self.owner)
            return _Seen(duty, roll.watched(connection), returned)
        except SQLAlchemyError:
            self._disconnect()
            raise

    async def _bury(self, replica: Replica) -> None:
        """Calls of one that is dead become unknown."""

        def work(connection: Connection, begun: Begun) -> list[str] | None:
            if not roll.bury(connection, replica):
                return None
            # Where another process has the name already, what runs now is in its chain; it has looked there itself.
            left = () if roll.is_alive(connection, replica.name) else begun
            return self._ledger.recover_of(connection, [replica.owner], left)

        lost = await aside(partial(self._recover, replica.name, work))
        if lost is not None:
            log.warning("replica %s is gone; %d calls of it have no outcome", replica.name, len(lost))

    def _enter(self, connection: Connection, begun: Begun) -> list[str]:
        before = roll.enter(connection, self.owner, self.name, self._address, self._policy())
        return self._ledger.recover_of(connection, before, begun) if before else []

    def _recover(self, name: str, work: Callable[[Connection, Begun], T]) -> T:
        """Do `work` with what the chain of this name says is under way. That is looked for before it takes its turn at
        the tables, for all calls of all replicas would wait meanwhile.
        """
        with self._store.database.connect() as connection, roll.recovering(connection, name):
            begun = unfinished(connection, name)
            return self._store.run(lambda turn: work(turn, begun))

    def _wait_for_name(self) -> None:
        """The server may take a moment to see that a process has ended. Raises ConfigError."""
        assert self._connection is not None
        until = time.monotonic() + _PATIENCE
        while not (held := roll.hold_name(self._connection, self.name)) and time.monotonic() < until:
            time.sleep(0.05)
        if not held:
            message, fix = "another gateway of this name is running", "stop it, or give each a gateway.replica"
            raise ConfigError([Problem(self.name, "gateway.replica", message, fix)])
        self._held = True

    def _connect(self) -> Connection:
        self._connection = self._store.database.writing(_PATIENCE)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # it holds a lock, and has settings that are not for others
            self._connection.close()
            self._connection, self._held = None, False


def _tell(lost: Sequence[str]) -> None:
    if lost:
        log.warning("%d calls have no outcome: whether they ran is not known; the last is call %s", len(lost), lost[-1])
