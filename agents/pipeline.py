"""Stages in a row: each a specialist whose answer must fit a schema before the next one hears of it.

The shape is asked for with `output_config.format`, not with a tool to submit through: it binds only the last
text, so the tools stay usable in the same conversation, and current models refuse a forced tool call. The
answer is still checked here, with the whole schema: the API knows no bounds, and an answer can be cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from agents.compensation import Undo, Undone, compensate
from agents.loop import Agent
from agents.run import Event, OnEvent, Run, ignore

Known = Mapping[str, Any]
"""What the pipeline was given, and each earlier stage's output under its agent's name."""
FAILED = {"type": "object", "properties": {"failed": {"type": "string"}}, "required": ["failed"]}
"""What a stage answers instead when its job cannot be done: why, in one sentence."""
REJECTED = "Your answer was not accepted: {problem}. Answer again, corrected; repeat no work already done."


def accept(known: Known, output: dict[str, Any]) -> str | None:
    """The check of stages whose schema says it all."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One specialist's part: `brief` picks what it is told, `check` says what is wrong beyond the schema.

    An answer that does not pass goes back into the same conversation, at most `retry_count` times.
    """

    agent: Agent
    brief: Callable[[Known], dict[str, Any]]
    schema: Mapping[str, Any]
    check: Callable[[Known, dict[str, Any]], str | None] = accept
    retry_count: int = 1
    undo: tuple[Undo, ...] = ()


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage came to. `output` is None when it failed; `reason` then says why."""

    stage: str
    run: Run
    output: dict[str, Any] | None
    reason: str
    retries: int


@dataclass(slots=True)
class Report:
    """Everything a pipeline did, results of completed stages included when a later one failed."""

    run: str
    results: list[StageResult] = field(default_factory=list)
    undone: list[Undone] = field(default_factory=list)

    @property
    def completed(self) -> bool:
        return bool(self.results) and self.results[-1].output is not None


async def run_pipeline(stages: Sequence[Stage], known: Known, *, run_id: str, on_event: OnEvent = ignore) -> Report:
    """Run the stages in order until one fails, then compensate, latest first. Never raises for a stage."""
    report = Report(run_id)
    for stage in stages:
        await on_event(Event(run_id, stage.agent.name, "stage", {"job": stage.agent.job}))
        result = await _run_stage(stage, known, run_id, on_event)
        report.results.append(result)
        await on_event(Event(run_id, result.stage, "staged", {"output": result.output, "reason": result.reason}))
        if result.output is None:
            break
        known = {**known, stage.agent.name: result.output}
    if not report.completed:  # the failed stage too: it may have done something before it failed
        for stage, result in reversed(list(zip(stages, report.results, strict=False))):
            async for undone in compensate(stage.agent, result.run, stage.undo):
                report.undone.append(undone)
                await on_event(Event(run_id, stage.agent.name, "undone", asdict(undone)))
    return report


async def _run_stage(stage: Stage, known: Known, run_id: str, on_event: OnEvent) -> StageResult:
    name, schema = stage.agent.name, {"anyOf": [stage.schema, FAILED]}
    run = await stage.agent.run(json.dumps(stage.brief(known)), run_id=f"{run_id}/{name}", schema=schema)
    retries = 0
    while True:
        output, reason, can_mend = _judge(stage, known, run)
        if not can_mend or retries == stage.retry_count:
            return StageResult(name, run, output, reason, retries)
        retries += 1
        await on_event(Event(run.id, name, "rejected", {"problem": reason}))
        await stage.agent.say(run, REJECTED.format(problem=reason), schema=schema)


def _judge(stage: Stage, known: Known, run: Run) -> tuple[dict[str, Any] | None, str, bool]:
    """(output, reason it is None, whether the model can mend it by answering again)."""
    if run.outcome != "end_turn":
        return None, f"{run.outcome}: {run.detail}" if run.detail else run.outcome, False
    try:
        answer = json.loads(run.text)
    except ValueError as error:
        return None, f"it is not JSON ({error})", True
    if Draft202012Validator(FAILED).is_valid(answer):
        return None, answer["failed"], False
    errors = sorted(Draft202012Validator(stage.schema).iter_errors(answer), key=lambda error: error.json_path)
    if errors:
        return None, "; ".join(f"{error.json_path}: {error.message}" for error in errors), True
    problem = stage.check(known, answer)
    return (None, problem, True) if problem else (answer, "", False)
