"""Looking whether leases of runs ran out. Replicas that share the store tell each other there of what they hear."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from gateway.aside import aside
from gateway.runs.leases import RunKey
from gateway.runs.saga import Runs

_APART = 1.0
"""Seconds between two looks of replicas at what the others heard."""
_STILL = 2.5
"""Seconds between two looks after which the process itself must have stood still, or the store: stopped, or out of
breath."""


class Lapsing:
    """Belongs to the event loop. `on_duty` tells whether this process judges; one that does not tells what it heard."""

    def __init__(self, runs: Runs, on_duty: Callable[[], bool], clock: Callable[[], float] = time.time) -> None:
        self._runs, self._leases, self._on_duty, self._clock = runs, runs.leases, on_duty, clock
        self._shared = runs.store.database.postgresql
        self._looked: float | None = None
        self._followed: float | None = None

    async def look(self) -> None:
        """Have runs fail whose lease ran out. Raises SQLAlchemyError and Unrecorded: then nothing was silent."""
        await self._follow()
        now = self._leases.clock()
        if self._looked is not None and (still := now - self._looked) > _STILL:
            self._leases.put_off(still)
        self._looked = now
        overdue = self._leases.overdue() if self._on_duty() else []
        for (key, held), holds in zip(overdue, await self._lapsed(overdue), strict=True):
            if holds:
                self._leases.hold(key)
            elif held:
                self._leases.renew(key)
            else:
                self._leases.forget(key)

    async def _follow(self) -> None:
        """A run that was active when the process before this one ended has a full lease again. Where nobody else
        shares the store, all that happens later happens here.
        """
        begun = self._leases.clock()
        if self._followed is not None and (not self._shared or begun - self._followed < _APART):
            return
        if self._shared and not self._on_duty() and (heard := self._leases.heard()):
            await self._runs.store.transact(partial(self._runs.heard, keys=heard))
        self._leases.follow(await aside(self._runs.leased))
        self._followed = begun

    async def _lapsed(self, overdue: Sequence[tuple[RunKey, bool]]) -> list[bool]:
        """Have runs fail whose lease ran out; for each, whether a pending ticket keeps it from that."""
        leases = self._leases.leases
        touched = {key: leases[key].touched if self._shared else None for key, _ in overdue}

        def work(connection: Connection) -> list[bool]:
            return [self._runs.lapse(connection, *key, spared=held, touched=touched[key]) for key, held in overdue]

        return await self._runs.store.transact(work) if overdue else []
