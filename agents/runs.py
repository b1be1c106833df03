"""Runs as they are driven: opened or gone on with, written down entry by entry, by one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agents.journal import Journal, Taken
from agents.run import Run

LEASE = 15.0
"""Seconds for which a process has a run to itself, renewed while it works: after a crash it is free again."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run: `kind` says what, `data` is JSON.

    started, message, resumed, answer, call, waiting, result, warned and finished come from an agent's run, `said` (text
    of the model as it streams) too, which is not kept; stage, staged, rejected, planned, task, branch, merged, undone
    and unclosed from patterns.
    """

    run: str
    agent: str
    kind: str
    data: dict[str, Any]


OnEvent = Callable[[Event], Awaitable[None]]
"""Told of each entry once it is durable. What it raises ends the run."""


async def ignore(event: Event) -> None:
    """The hook of those who do not listen."""


def new_id(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def root_of(run: str) -> str:
    """The run that this one is a part of, or itself."""
    return run.partition("/")[0]


@dataclass(slots=True)
class Runs:
    """The runs of one `journal`. Agents and patterns that work together share it."""

    journal: Journal = field(default_factory=Journal)
    on_event: OnEvent = ignore
    recipe: dict[str, Any] = field(default_factory=dict)
    """Written down with each new run that is nobody's part."""
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    _held: dict[str, int] = field(default_factory=dict)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find(self, run_id: str) -> Run | None:
        """The run as its entries have it, without its parts."""
        entries = await self.journal.read(run_id)
        if not entries:
            return None
        run = Run(id=run_id)
        for entry in entries:
            run.apply(entry)
        return run

    async def whole(self, run: Run) -> Run:
        """The run with its parts, and theirs."""
        depth = run.id.count("/") + 1
        ids = [each for each in await self.journal.runs(run.id) if each.count("/") == depth]
        parts = [part for each in ids if (part := await self.find(each)) is not None]
        run.parts = [await self.whole(part) for part in parts]
        return run

    async def open(self, run_id: str, agent: str, task: str, **more: Any) -> Run:
        """The run with this id, or a new one of which there is `more` to say: `model`, `closes`, `limits`.

        Raises ValueError when it is another's, or on another task.
        """
        run = await self.find(run_id)
        if run is None:
            run = Run(id=run_id)
            made = {} if "/" in run_id else {"recipe": self.recipe}
            await self.note(run, "started", {"agent": agent, "task": task, "model": "", "limits": {}, **more, **made})
        elif (run.agent, run.task) != (agent, task):
            raise ValueError(f"run {run_id} is one of {run.agent}, on another task; give a new run another id")
        elif run.outcome == "running" and run.seq > 1:
            await self.note(run, "resumed", {})
        return run

    async def note(self, run: Run, kind: str, data: dict[str, Any]) -> None:
        """Write it down, then let it change the run, then tell of it. Raises Taken."""
        async with self._writing:
            run.apply(await self.journal.append(run.id, run.seq + 1, kind, data))
        await self.tell(run, kind, data)

    async def tell(self, run: Run, kind: str, data: dict[str, Any]) -> None:
        """Tell of something that is not worth keeping."""
        await self.on_event(Event(run.id, run.agent, kind, data))

    @asynccontextmanager
    async def driving(self, run_id: str) -> AsyncIterator[None]:
        """Have the whole run to oneself until the block ends. Raises Taken when another process has it."""
        root = root_of(run_id)
        self._held[root] = self._held.get(root, 0) + 1
        try:
            if self._held[root] > 1:
                yield
                return
            if not await self.journal.drive(root, self.owner, LEASE):
                raise Taken(f"run {root} is driven by another process now, or was within the last {LEASE:.0f} seconds")
            renewing = asyncio.create_task(self._renew(root))
            try:
                yield
            finally:
                renewing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await renewing
                await self.journal.release(root, self.owner)
        finally:
            self._held[root] -= 1
            if not self._held[root]:
                del self._held[root]

    async def _renew(self, root: str) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            await self.journal.drive(root, self.owner, LEASE)
