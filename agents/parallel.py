"""Branches side by side under one deadline: what each came to is kept, and enough of them make a success."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agents.agent import Agent, Runner
from agents.pattern import Halted, Pattern, halt
from agents.run import UNFINISHED, Run

Status = Literal["success", "failed", "timeout", "waiting"]


@dataclass(frozen=True, slots=True)
class Branch:
    """What one branch came to. `text` are its last words, `detail` says why it is no success; `cost`: US dollars."""

    name: str
    status: Status
    text: str
    detail: str
    cost: float | None


Merge = Callable[[list[Branch]], str]


def listed(branches: list[Branch]) -> str:
    """All of them, as JSON."""
    return json.dumps([asdict(branch) for branch in branches])


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel(Pattern):
    """All `branches` are given the task, or what `brief` makes of it for each, and have `deadline` seconds at work.

    At least `min_required_successes` have to succeed (None: all). Where too few have, and enough others wait for people
    or can be gone on with, the whole is left so; else it has failed. Branches that are over the deadline are cancelled,
    and what was done in those that are no success is undone. `merge` makes the last words of what came of all: a
    function, or an agent that is told in JSON.
    """

    branches: Mapping[str, Runner]
    deadline: float
    min_required_successes: int | None = None
    brief: Callable[[str, str], str] = lambda name, task: task
    merge: Merge | Agent = listed

    def agents(self) -> list[Agent]:
        own = [self.merge] if isinstance(self.merge, Agent) else []
        return [agent for runner in self.branches.values() for agent in runner.agents()] + own

    async def work(self, run: Run, task: str) -> str:
        noted = next((note["branches"] for note in run.notes if note["kind"] == "branches"), None)
        if noted is None:
            noted = await self._settle(run, await self._fan_out(run, task))
        branches = [Branch(**each) for each in noted]
        succeeded = sum(branch.status == "success" for branch in branches)
        if succeeded < self._enough:
            raise Halted("failed", self._too_few(succeeded))
        if not isinstance(self.merge, Agent):
            return self.merge(branches)
        part = await self.part(run, "merge", self.merge, json.dumps({"task": task, "branches": noted}))
        if not part.ok:
            raise halt(part)
        return part.text

    @property
    def _enough(self) -> int:
        return len(self.branches) if self.min_required_successes is None else self.min_required_successes

    def _too_few(self, succeeded: int) -> str:
        return f"{succeeded} of {len(self.branches)} branches succeeded, {self._enough} have to"

    async def _fan_out(self, run: Run, task: str) -> dict[str, tuple[Run | None, bool]]:
        """The part of each branch, None where it had not begun, and whether it was cancelled."""
        working = {
            name: asyncio.create_task(self.part(run, name, runner, self.brief(name, task)))
            for name, runner in self.branches.items()
        }
        try:
            await asyncio.wait(working.values(), timeout=max(0.0, self.deadline - run.seconds))
        finally:
            for each in working.values():
                each.cancel()
            await asyncio.gather(*working.values(), return_exceptions=True)
        return {name: (await self._part_of(run, name, each), each.cancelled()) for name, each in working.items()}

    async def _part_of(self, run: Run, name: str, work: asyncio.Task[Run]) -> Run | None:
        found = await self.runs.find(f"{run.id}/{name}") if work.cancelled() else work.result()
        return found and await self.runs.whole(found)

    async def _settle(self, run: Run, parts: Mapping[str, tuple[Run | None, bool]]) -> list[dict[str, Any]]:
        """What came of all is put on record, unless too few have succeeded and enough of the others still can."""
        succeeded = sum(part is not None and part.ok for part, _ in parts.values())
        going = [part for part, over in parts.values() if part and not over and part.outcome in UNFINISHED]
        if succeeded < self._enough <= succeeded + len(going):
            waits = any(part.outcome == "waiting" for part in going)
            raise Halted("waiting" if waits else going[0].outcome, self._too_few(succeeded))
        branches = [asdict(_branch(name, part, over)) for name, (part, over) in parts.items()]
        for part, _ in parts.values():
            if part is not None and not part.ok:
                await self.drop(run, part)
        await self.record(run, "branches", {"branches": branches})
        return branches


def _branch(name: str, part: Run | None, over: bool) -> Branch:
    if part is None:
        return Branch(name, "timeout", "", "it had not begun when the deadline was over", None)
    if part.ok or part.outcome == "waiting":
        return Branch(name, "success" if part.ok else "waiting", part.text, part.detail, part.cost)
    if over:
        return Branch(name, "timeout", part.text, "it was cancelled when the deadline was over", part.cost)
    return Branch(name, "failed", part.text, f"{part.outcome}: {part.detail}".removesuffix(": "), part.cost)
