"""Branches side by side under one deadline: what each came to is kept, and enough of them make a success."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agents.agent import Agent, Runner
from agents.pattern import Halted, Pattern, halt
from agents.run import Run

Status = Literal["success", "failed", "timeout", "waiting"]


@dataclass(frozen=True, slots=True)
class Branch:
    """What one branch came to. `text` are its last words, `detail` says why it is no success."""

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

    At least `min_required_successes` have to succeed (None: all). Where more are needed than have, and some wait for
    people, the whole waits; else it has failed. Once the deadline is over, the rest is cancelled. `merge` makes the
    last words of what came of all: a function, or an agent that is told in JSON.
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
        branches = await self._fan_out(run, task)
        enough = len(self.branches) if self.min_required_successes is None else self.min_required_successes
        by = {status: [each for each in branches if each.status == status] for status in ("success", "waiting")}
        if len(by["success"]) < enough:
            why = f"{len(by['success'])} of {len(branches)} branches succeeded, {enough} have to"
            can = len(by["success"]) + len(by["waiting"]) >= enough
            raise Halted("waiting" if can else "failed", why)
        if not isinstance(self.merge, Agent):
            return self.merge(branches)
        part = await self.part(run, "merge", self.merge, json.dumps({"task": task, "branches": listed(branches)}))
        if not part.ok:
            raise halt(part)
        return part.text

    async def _fan_out(self, run: Run, task: str) -> list[Branch]:
        """Branches that ended before the run was gone on with stay as they are."""
        ended = {note["name"]: Branch(**_fields(note)) for note in run.notes if note["kind"] == "branch"}
        working = {
            name: asyncio.create_task(self.part(run, name, runner, self.brief(name, task)))
            for name, runner in self.branches.items()
            if name not in ended or ended[name].status == "waiting"
        }
        try:
            if working:
                await asyncio.wait(working.values(), timeout=max(0.0, self.deadline - run.seconds))
        finally:
            for each in working.values():
                each.cancel()
            await asyncio.gather(*working.values(), return_exceptions=True)
        for name, each in working.items():
            ended[name] = await self._ended(run, name, each)
            await self.runs.note(run, "branch", asdict(ended[name]))
        return [ended[name] for name in self.branches]

    async def _ended(self, run: Run, name: str, work: asyncio.Task[Run]) -> Branch:
        part = await self.runs.find(f"{run.id}/{name}") if work.cancelled() else work.result()
        if part is None:
            return Branch(name, "timeout", "", "it had not begun when the deadline was over", None)
        if part.ok or part.outcome == "waiting":
            return Branch(name, "success" if part.ok else "waiting", part.text, part.detail, part.cost)
        await self.drop(run, part)
        if work.cancelled():
            return Branch(name, "timeout", part.text, "it was cancelled when the deadline was over", part.cost)
        return Branch(name, "failed", part.text, f"{part.outcome}: {part.detail}".removesuffix(": "), part.cost)


def _fields(note: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in note.items() if name != "kind"}
