"""What all patterns share: a run of their own that holds no conversation, whose parts are runs of others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agents.agent import Agent, Runner
from agents.compensation import close, kept, let_go, undo
from agents.run import LIMITED, UNFINISHED, Run
from agents.runs import Runs, new_id


class Halted(Exception):
    """The pattern cannot go on now, or never: its outcome is that of a part, or `failed`, and why."""

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern(ABC):
    """A way in which agents work together, and itself a Runner. `work` says how, and returns its last words.

    `work` is begun again from its start when a run is gone on with: parts that ended are not run again, because their
    ids are the same. A part that waits for people, or that failed for a reason that is not its own, leaves the whole
    so, to be gone on with. When the whole has failed for good, what was done is undone. All agents of a pattern, and
    the patterns in it, have its `runs`.
    """

    name: str
    job: str
    runs: Runs = field(default_factory=Runs, repr=False)

    async def run(
        self, task: str, *, run_id: str | None = None, closes: bool = True, schema: Mapping[str, Any] | None = None
    ) -> Run:
        """As every Runner does; the shape of the last words is the pattern's own."""
        if any(agent.runs is not self.runs for agent in self.agents()):
            raise ValueError(f"the agents of {self.name} keep their runs elsewhere: give all of them the same `runs`")
        identity = run_id or new_id(self.name)
        async with self.runs.driving(identity):
            run = await self.runs.whole(await self.runs.open(identity, self.name, task, closes=closes))
            if run.outcome not in UNFINISHED:
                return run
            if run.outcome != "running":
                await self.runs.note(run, "resumed", {})
            outcome, detail, text = "end_turn", "", ""
            try:
                async with kept(self, run):
                    text = await self.work(run, task)
            except Halted as halted:
                outcome, detail = halted.outcome, str(halted)
            await self.runs.whole(run)
            if closes:
                await self._leave(run, outcome)
            await self.runs.note(run, "finished", {"outcome": outcome, "detail": detail, "text": text})
            return run

    @abstractmethod
    def agents(self) -> list[Agent]:
        """As of every Runner."""

    @abstractmethod
    async def work(self, run: Run, task: str) -> str:
        """Raises Halted."""

    async def part(
        self, run: Run, name: str, runner: Runner, task: str, schema: Mapping[str, Any] | None = None
    ) -> Run:
        """Have somebody do a part, under an id that is the same whenever it is gone on with. Its outcome is its own."""
        part = await runner.run(task, run_id=f"{run.id}/{name}", closes=False, schema=schema)
        run.parts = [*(each for each in run.parts if each.id != part.id), part]
        return part

    async def record(self, run: Run, kind: str, data: dict[str, Any]) -> None:
        """Put on record what came of a part; once, however often the run is gone on with."""
        if {"kind": kind, **data} not in run.notes:
            await self.runs.note(run, kind, data)

    async def drop(self, run: Run, part: Run) -> None:
        """The whole does without this part: what it did is undone, and it is not gone on with."""
        for undone in await undo(self, part):
            await self.record(run, "undone", asdict(undone))
        if part.outcome in UNFINISHED | LIMITED:
            await self.runs.note(part, "finished", {"outcome": "dropped", "detail": part.outcome})

    async def _leave(self, run: Run, outcome: str) -> None:
        if outcome == "end_turn":
            for part, text in (await close(self, run)).items():
                await self.record(run, "unclosed", {"run": part, "text": text})
        elif outcome == "waiting":
            await let_go(self, run)
        elif outcome not in UNFINISHED:
            for undone in await undo(self, run):
                await self.record(run, "undone", asdict(undone))


def halt(part: Run) -> Halted:
    """What a part that did not end well means for the whole that cannot do without it."""
    why = f"{part.agent}: {part.outcome}" + (f": {part.detail}" if part.detail else "")
    return Halted(part.outcome if part.outcome in UNFINISHED else "failed", why)
