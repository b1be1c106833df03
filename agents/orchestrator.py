"""An orchestrator: it plans, has specialists do the tasks, keeps a ledger of them, plans again, and sums up.

The plan is asked for as structured output and checked: what names a specialist that is not there, or needs a task that
is not, goes back to the planner with its error. Everything that is known of the tasks stands in the ledger, which the
planner and the last words are told of, failures included.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from agents.agent import Agent, Runner
from agents.ledger import AGAIN, PLAN, PLANNING, SUMMING, Task, read_plan, told
from agents.pattern import Halted, Pattern, halt
from agents.run import UNFINISHED, Run

_ATTEMPTS = 2
"""How often a plan that cannot be carried out goes back to the planner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestrator(Pattern):
    """`planner` plans and sums up; it needs no tools. Tasks that need nothing of each other run side by side, at most
    `at_once`. Where tasks failed, what they did is undone and it plans again, at most `max_replans` times.
    """

    planner: Agent
    specialists: Mapping[str, Runner]
    max_replans: int = 1
    at_once: int = 8

    def agents(self) -> list[Agent]:
        return [self.planner, *(agent for each in self.specialists.values() for agent in each.agents())]

    async def work(self, run: Run, task: str) -> str:
        ledger: dict[str, Task] = {}
        names = json.dumps({name: runner.job for name, runner in self.specialists.items()})
        asked = PLANNING.format(specialists=names, task=task)
        for number in range(1 + self.max_replans):
            planned = await self._plan(run, f"plan-{number + 1}", asked, ledger)
            await self.record(run, "planned", {"tasks": [asdict(each) for each in planned]})
            ledger |= {each.id: each for each in planned}
            await self._carry_out(run, ledger)
            if all(each.state == "completed" for each in planned):
                break
            asked = AGAIN.format(specialists=names, ledger=told(ledger), task=task)
        summary = await self.part(run, "summary", self.planner, SUMMING.format(ledger=told(ledger), task=task))
        if not summary.ok:
            raise halt(summary)
        return summary.text

    async def _plan(self, run: Run, name: str, asked: str, ledger: Mapping[str, Task]) -> list[Task]:
        part = await self.part(run, name, self.planner, asked, schema=PLAN)
        while part.ok:
            tasks, problem = read_plan(part.text, ledger, self.specialists)
            if not problem:
                return tasks
            if part.said > _ATTEMPTS:
                raise Halted("failed", f"the plan cannot be carried out: {problem}")
            await self.planner.say(part, f"This plan cannot be carried out: {problem}. Plan again.", schema=PLAN)
        raise halt(part)

    async def _carry_out(self, run: Run, ledger: Mapping[str, Task]) -> None:
        """Do all that is pending. Raises Halted, once nothing can be done any more, where something is to go on."""
        slots = asyncio.Semaphore(self.at_once)
        ended = {each.id: asyncio.Event() for each in ledger.values()}
        going: list[Run] = []

        async def one(each: Task) -> None:
            if each.state == "pending":
                for need in each.needs:
                    await ended[need].wait()
                async with slots:
                    going.extend(await self._one(run, each, ledger))
            ended[each.id].set()

        async with asyncio.TaskGroup() as group:
            for each in ledger.values():
                group.create_task(one(each))
        if going:
            raise halt(next((part for part in going if part.outcome == "waiting"), going[0]))

    async def _one(self, run: Run, each: Task, ledger: Mapping[str, Task]) -> list[Run]:
        """Do one task, if it can be done; its part, where that is to be gone on with."""
        lacking = [need for need in each.needs if ledger[need].state != "completed"]
        if lacking:
            if all(ledger[need].state == "failed" for need in lacking):
                each.state, each.error = "failed", f"it needs {', '.join(lacking)}"
                await self.record(run, "task", asdict(each))
            return []
        each.state = "running"
        await self.runs.tell(run, "task", asdict(each))
        needed = {need: ledger[need].result for need in each.needs}
        given = f"{each.task}\n\nResults that you need:\n{json.dumps(needed)}" if needed else each.task
        part = await self.part(run, f"task-{each.id}", self.specialists[each.specialist], given)
        each.cost, each.result = part.cost, part.text
        if part.outcome not in UNFINISHED:
            each.state = "completed" if part.ok else "failed"
        elif part.outcome == "waiting":
            each.state = "waiting"
        if not part.ok:
            each.error = f"{part.outcome}: {part.detail}".removesuffix(": ")
        if each.state == "failed":
            await self.drop(run, part)
        await self.record(run, "task", asdict(each))
        return [part] if part.outcome in UNFINISHED else []
