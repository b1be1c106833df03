"""What a running gateway does for its evidence, beside the calls: checkpoints, their delivery, and the archive."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.aside import aside
from gateway.config import Config
from gateway.errors import Unrecorded
from gateway.evidence.archive import Archive, Broken, Transact
from gateway.evidence.checkpoints import CheckpointFile
from gateway.evidence.keys import Keys
from gateway.evidence.outbox import Outbox
from gateway.evidence.witness import Witness
from gateway.metrics import Metrics
from gateway.state import State
from gateway.store import Work

log = logging.getLogger("toolgate.audit")

_LOOK = 1.0
"""Seconds between two looks at what is new."""
_OLD = 3600.0
"""Seconds between two looks for events that are old."""
_LAST = 5.0
"""Seconds that the last checkpoint may take."""
_LOCAL = "checkpoints.jsonl"


def checkpoint_file(config: Config) -> Path:
    """Where checkpoints are written here, be it only on their way to a URL."""
    given = config.audit.checkpoints
    return config.state_dir / (_LOCAL if is_url(given) else given)


def is_url(place: str) -> bool:
    return place.startswith(("https://", "http://"))


def archive_folder(config: Config) -> Path:
    return config.state_dir / config.audit.archive


class Evidence:
    """`writer` names this process in checkpoints; only who is `on_duty` archives. Raises ConfigError and OSError when
    the signing key cannot be used.
    """

    def __init__(
        self, config: Config, state: State, metrics: Metrics, writer: str, on_duty: Callable[[], bool]
    ) -> None:
        self._state = state
        self._store = store = state.store
        self._on_duty = on_duty
        self._digest = hashlib.sha256(config.path.read_bytes()).hexdigest()
        path, audit = checkpoint_file(config), config.audit
        self._witness = Witness(store, CheckpointFile(path, Keys(config.state_dir)), writer, audit, metrics)
        self._outbox = Outbox(path, audit.checkpoints, metrics) if is_url(audit.checkpoints) else None
        folder = archive_folder(config)
        self._archive = Archive(store, folder, audit.keep, time.time) if audit.keep is not None else None

    async def run(self) -> None:
        """For ever."""
        loops = [self._repeat(_LOOK, self._look)]
        if self._outbox is not None:
            loops.append(self._repeat(_LOOK, partial(aside, self._outbox.look)))
        if self._archive is not None:
            loops.append(self._repeat(_OLD, partial(self._move, self._archive)))
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop)

    async def started(self, policy: str) -> None:
        """Write down which gateway begins, under the policy with this digest. Raises Unrecorded."""
        told = {"version": version("toolgate"), "config": self._digest, "policy": policy, "owner": self._state.owner}
        await self._state.audit.started(told)

    async def close(self) -> None:
        """Write down that it ends, and a last checkpoint; neither keeps it from ending."""
        try:
            async with asyncio.timeout(_LAST):
                await self._state.audit.stopped(self._state.owner)
                await self._look(closing=True)
                if self._outbox is not None:
                    await aside(self._outbox.look)
        except Exception as error:  # whatever it is: the process has to end
            log.warning("there is no last checkpoint (%s)", type(error).__name__)

    async def _repeat(self, pause: float, look: Callable[[], Awaitable[None]]) -> None:
        told = ""
        while True:
            problem = ""
            try:
                await look()
            except (SQLAlchemyError, Unrecorded, OSError, Broken) as error:
                problem = str(error) if isinstance(error, Broken) else type(error).__name__
                if problem != told:
                    log.error("evidence cannot be looked after now: %s. It is tried again", problem)
            except Exception:  # whatever it is: were this to end, nothing would be witnessed any more
                log.exception("evidence could not be looked after")
            told = problem
            await asyncio.sleep(pause)

    async def _look(self, *, closing: bool = False) -> None:
        for row in await aside(partial(self._witness.look, closing=closing)):
            await self._store.append(row)

    async def _move(self, archive: Archive) -> None:
        if self._on_duty():
            await aside(partial(archive.look, self._transact()))

    def _transact(self) -> Transact:
        """Work from another thread, in turn with that of calls."""
        loop = asyncio.get_running_loop()

        async def hand_in(work: Work[None]) -> None:
            await self._store.transact(work)

        def transact(work: Work[None]) -> None:
            asyncio.run_coroutine_threadsafe(hand_in(work), loop).result()

        return transact
