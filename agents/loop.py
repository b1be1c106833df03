"""The agentic loop: ask the model, run the tools it calls, until it is done or a limit says stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from anthropic import omit, transform_schema
from anthropic.types import MessageParam, OutputConfigParam, ToolParam

from agents.marking import SAID, marked
from agents.model import Model
from agents.run import Block, Limits, Run
from agents.runs import Runs
from agents.tools import Answer, reason

PENDING = "toolgate/pending"
REFUSAL = "toolgate/refusal"
TICKET = "toolgate/ticket"
OUTCOMES = {"model_context_window_exceeded": "context_full"}
"""Stop reasons that have another name as an outcome; every other one, known or not, keeps its own."""
_IN_FLIGHT, _PAUSE = "in_flight", 1.0


class Toolbox(Protocol):
    """Where a loop has its tools from: `definitions` are those of the Messages API."""

    @property
    def definitions(self) -> Sequence[dict[str, Any]]: ...
    async def call(self, name: str, arguments: dict[str, Any], *, run: str, key: str) -> Answer:
        """Never raises for what a tool does."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Drives one run: with this model and system prompt, these tools, within these limits."""

    runs: Runs
    model: Model
    system: str
    tools: Toolbox
    limits: Limits
    schema: Mapping[str, Any] | None = None

    async def drive(self, run: Run) -> tuple[str, str]:
        """Go on where the run stands until it ends: its outcome, and detail. What has a result is not repeated."""
        while True:
            if run.stop == "tool_use" and (calls := run.unanswered()):
                await self._answer(run, calls)
                if run.waiting:
                    return "waiting", f"for a decision on {', '.join(map(str, run.waiting.values()))}"
            elif run.stop not in ("", "pause_turn"):  # calls of an answer that was cut off are never made
                return OUTCOMES.get(run.stop, run.stop), run.stop_detail
            if exceeded := run.exceeds(self.limits, is_priced=self.model.is_priced):
                return exceeded
            if run.messages[-1]["role"] == "user" and (warning := run.warning(self.limits)):
                await self.runs.note(run, "warned", {"why": warning[0], "text": warning[1]})
            try:
                answer = await self._ask(run)
            except Exception as error:  # the SDK also raises ValueError, and garbage fails to convert
                return "model_error", reason(error)
            await self.runs.note(run, "answer", {**answer, "cost": self.model.cost(answer["usage"])})

    async def _ask(self, run: Run) -> dict[str, Any]:
        request = self.model.client.messages.stream(
            model=self.model.name,
            max_tokens=max(1, min(self.limits.max_tokens, self.limits.tokens - run.tokens)),
            system=self.system + SAID,
            tools=cast(list[ToolParam], list(self.tools.definitions)) or omit,
            messages=cast(list[MessageParam], run.messages),
            cache_control={"type": "ephemeral"},
            output_config=_shape(self.schema) if self.schema else omit,
        )
        async with request as stream:
            async for text in stream.text_stream:
                await self.runs.tell(run, "said", {"text": text})
            with suppress(AssertionError):  # of the SDK, when nothing came that it knows
                message = await stream.get_final_message()
                answer = message.to_dict(mode="json", warnings=False)  # no warnings of blocks this SDK does not know
                if not answer.get("stop_reason"):
                    raise ValueError("the model's answer broke off")
                return answer
        raise ValueError("the answer is not a message of the Messages API")

    async def _answer(self, run: Run, calls: list[Block]) -> None:
        """Run the calls that have no result yet, in parallel."""
        async with asyncio.TaskGroup() as group:
            for use in calls:
                if use["id"] not in run.results:
                    group.create_task(self._call(run, use))

    async def _call(self, run: Run, use: Block) -> None:
        await self.runs.note(run, "call", use)
        answer = await self._made(run, use)
        if PENDING in answer.meta:
            await self.runs.note(run, "waiting", {"call": use, "ticket": answer.meta[PENDING]})
            return
        block = {"type": "tool_result", "tool_use_id": use["id"], "content": marked(answer.content)}
        result = {**block, "is_error": True} if answer.is_error else block
        told = {"refusal": answer.meta.get(REFUSAL), "ticket": answer.meta.get(TICKET)}
        await self.runs.note(run, "result", {"call": use, "result": result, **told})

    async def _made(self, run: Run, use: Block) -> Answer:
        """The call's answer. One that a process before this one made, and that is still under way, is waited for."""
        waited = 0.0
        while True:
            answer = await self.tools.call(use["name"], use["input"], run=run.id, key=f"{run.id}/{use['id']}")
            if (answer.meta.get(REFUSAL) or {}).get("reason") != _IN_FLIGHT or waited >= self.limits.call_seconds:
                return answer
            await asyncio.sleep(_PAUSE)
            waited += _PAUSE


def _shape(schema: Mapping[str, Any]) -> OutputConfigParam:
    """The schema as the API takes it: what it does not know (bounds, patterns) becomes description."""
    return {"format": {"type": "json_schema", "schema": transform_schema(dict(schema))}}
