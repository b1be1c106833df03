"""Stages in a row: each a specialist whose answer must fit a schema before the next one hears of it.

The shape is asked for with `output_config.format`, not with a tool to submit through: it binds only the last
text, so the tools stay usable in the same conversation, and current models refuse a forced tool call. The
answer is still checked here, with the whole schema: the API knows no bounds, and an answer can be cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from agents.compensation import Undone, undo
from agents.loop import PATIENCE, Agent
from agents.run import Event, OnEvent, Run, ignore
from agents.tools import MARK

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
    unclosed: list[str] = field(default_factory=list)
    """Runs of a completed pipeline that the gateway does not know to be finished: a lease may still undo them."""

    @property
    def completed(self) -> bool:
        return bool(self.results) and self.results[-1].output is not None


async def run_pipeline(
    stages: Sequence[Stage], known: Known, *, run_id: str, on_event: OnEvent = ignore, patience: float = PATIENCE
) -> Report:
    """Run the stages in order until one fails, each as a run of its own agent; no run is closed before all have ended.

    Then have them all closed, or undone, latest first. Where a stage waits for people, it does so for `patience`
    seconds. Never raises for a stage.
    """
    report = Report(run_id)
    async with AsyncExitStack() as held:
        for stage in stages:
            await on_event(Event(run_id, stage.agent.name, "stage", {"job": stage.agent.job}))
            await held.enter_async_context(stage.agent.held(_run_of(run_id, stage)))
            result = await _run_stage(stage, known, run_id, on_event, patience)
            report.results.append(result)
            await on_event(Event(run_id, result.stage, "staged", {"output": result.output, "reason": result.reason}))
            if result.output is None:
                break
            known = {**known, stage.agent.name: result.output}
        started = [stage for stage, _ in zip(stages, report.results, strict=False)]
        await (_close if report.completed else _undo)(started, report, on_event)
    return report


def _run_of(run_id: str, stage: Stage) -> str:
    return f"{run_id}/{stage.agent.name}"


async def _close(stages: Sequence[Stage], report: Report, on_event: OnEvent) -> None:
    for stage in stages:
        run = _run_of(report.run, stage)
        answer = await stage.agent.tell(MARK, run=run, state="finished")
        if answer is not None and answer.is_error:
            report.unclosed.append(run)
            await on_event(Event(report.run, stage.agent.name, "unclosed", {"run": run, "text": answer.text}))


async def _undo(stages: Sequence[Stage], report: Report, on_event: OnEvent) -> None:
    for stage in reversed(stages):  # the failed one too: it may have done something before it failed
        if undone := await undo(stage.agent, _run_of(report.run, stage)):
            report.undone.append(undone)
            await on_event(Event(report.run, stage.agent.name, "undone", asdict(undone)))


async def _run_stage(stage: Stage, known: Known, run_id: str, on_event: OnEvent, patience: float) -> StageResult:
    name, schema = stage.agent.name, {"anyOf": [stage.schema, FAILED]}
    run = Run(id=_run_of(run_id, stage), agent=name, model=stage.agent.model.name)
    text, retries = json.dumps(stage.brief(known)), 0
    while True:
        await stage.agent.say(run, text, schema=schema)
        await stage.agent.wait(run, patience, schema=schema)
        output, reason, can_mend = _judge(stage, known, run)
        if not can_mend or retries == stage.retry_count:
            return StageResult(name, run, output, reason, retries)
        retries += 1
        await on_event(Event(run.id, name, "rejected", {"problem": reason}))
        text = REJECTED.format(problem=reason)


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
