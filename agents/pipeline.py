"""Stages in a row: each a specialist whose answer must fit a schema before the next one hears of it.

The shape is asked for with `output_config.format`, not with a tool to submit through: it binds only the last
text, so the tools stay usable in the same conversation, and current models refuse a forced tool call. The
answer is still checked here, with the whole schema: the API knows no bounds, and an answer can be cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from agents.agent import Agent, Runner
from agents.pattern import Halted, Pattern, halt
from agents.run import Run

Known = Mapping[str, Any]
"""The task as `task`, and each earlier stage's output under its name."""
FAILED = {"type": "object", "properties": {"failed": {"type": "string"}}, "required": ["failed"]}
"""What a stage answers instead when its job cannot be done: why, in one sentence."""
REJECTED = "Your answer was not accepted: {problem}. Answer again, corrected; repeat no work already done."


def accept(known: Known, output: dict[str, Any]) -> str | None:
    """The check of stages whose schema says it all."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One specialist's part: `brief` picks what it is told, `check` says what is wrong beyond the schema.

    An agent's answer that does not pass goes back into the same conversation, at most `retry_count` times.
    """

    agent: Runner
    brief: Callable[[Known], Any]
    schema: Mapping[str, Any]
    check: Callable[[Known, dict[str, Any]], str | None] = accept
    retry_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(Pattern):
    """Its task is JSON, or text. Its last words are the outputs of all stages, by name, as JSON."""

    stages: Sequence[Stage]

    def agents(self) -> list[Agent]:
        return [agent for stage in self.stages for agent in stage.agent.agents()]

    async def work(self, run: Run, task: str) -> str:
        known: dict[str, Any] = {"task": _parsed(task)}
        for stage in self.stages:
            known[stage.agent.name] = await self._stage(run, stage, known)
        return json.dumps({stage.agent.name: known[stage.agent.name] for stage in self.stages})

    async def _stage(self, run: Run, stage: Stage, known: Known) -> dict[str, Any]:
        name, schema = stage.agent.name, {"anyOf": [stage.schema, FAILED]}
        await self.runs.tell(run, "stage", {"stage": name, "job": stage.agent.job})
        part = await self.part(run, name, stage.agent, json.dumps(stage.brief(known)), schema)
        while True:
            if not part.ok:
                raise await self._failed(run, name, halt(part))
            output, reason, can_mend = _judge(stage, known, part.text)
            if output is not None:
                await self.record(run, "staged", {"stage": name, "output": output, "reason": ""})
                return output
            if not (can_mend and isinstance(stage.agent, Agent) and part.said <= stage.retry_count):
                raise await self._failed(run, name, Halted("failed", f"{name}: {reason}"))
            await self.runs.tell(part, "rejected", {"problem": reason})
            await stage.agent.say(part, REJECTED.format(problem=reason), schema=schema)

    async def _failed(self, run: Run, name: str, halted: Halted) -> Halted:
        if halted.outcome == "failed":
            reason = str(halted).removeprefix(f"{name}: ")
            await self.record(run, "staged", {"stage": name, "output": None, "reason": reason})
        return halted


def _parsed(task: str) -> Any:
    try:
        return json.loads(task)
    except ValueError:
        return task


def _judge(stage: Stage, known: Known, text: str) -> tuple[dict[str, Any] | None, str, bool]:
    """(output, reason it is None, whether the model can mend it by answering again)."""
    try:
        answer = json.loads(text)
    except ValueError as error:
        return None, f"it is not JSON ({error})", True
    if Draft202012Validator(FAILED).is_valid(answer):
        return None, answer["failed"], False
    errors = sorted(Draft202012Validator(stage.schema).iter_errors(answer), key=lambda error: error.json_path)
    if errors:
        return None, "; ".join(f"{error.json_path}: {error.message}" for error in errors), True
    problem = stage.check(known, answer)
    return (None, problem, True) if problem else (answer, "", False)
