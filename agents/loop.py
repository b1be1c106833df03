"""The agentic loop: ask the model, run the tools it calls, until it is done or a limit says stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

from anthropic import omit, transform_schema
from anthropic.types import MessageParam, OutputConfigParam, ToolParam

from agents.model import Model
from agents.run import Block, Event, Limits, OnEvent, Run, ignore
from agents.tools import MARK, Answer, Tools, open_tools, reason

PATIENCE = 3600.0
"""Seconds that people have to decide before whoever runs an agent gives up."""
PAUSE = 1.0
"""Seconds between two requests that ask for a decision; the gateway holds each one open for a while."""
PENDING = "toolgate/pending"
REFUSAL = "toolgate/refusal"
OUTCOMES = {"model_context_window_exceeded": "context_full"}
"""Stop reasons that have another name as an outcome; every other one, known or not, keeps its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A model with a job, a token and the tools the gateway shows to that token.

    What a model, a tool or the network does never raises; it is the run's `outcome`: end_turn, max_tokens,
    stop_sequence, refusal, context_full, any other stop reason by its own name, max_turns, token_budget,
    cost_limit, waiting (for a human), model_error or gateway_error. `detail` says more where there is more.
    """

    name: str
    job: str
    system: str
    token: str = field(repr=False)
    gateway: str
    model: Model
    limits: Limits = field(default_factory=Limits)
    on_event: OnEvent = ignore

    async def run(self, task: str, *, run_id: str, schema: Mapping[str, Any] | None = None) -> Run:
        """Do `task` in a new conversation, whose good end closes the run at the gateway.

        With `schema` the last answer is JSON of that shape.
        """
        run = Run(id=run_id, agent=self.name, model=self.model.name, closes=True)
        return await self.say(run, task, schema=schema)

    async def say(self, run: Run, text: str, *, schema: Mapping[str, Any] | None = None) -> Run:
        """Continue a run with a message. Raises ValueError while calls of the run are unanswered."""
        if run.unanswered():
            raise ValueError(f"run {run.id} has unanswered calls; resume it before saying more")
        run.messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
        await self._emit(run, "message", {"text": text})
        return await self.resume(run, schema=schema)

    async def resume(self, run: Run, *, schema: Mapping[str, Any] | None = None) -> Run:
        """Go on where the run stands; calls that have a result are not made again."""
        async with AsyncExitStack() as stack:
            try:
                tools = await stack.enter_async_context(self._tools())
            except Exception as error:  # the SDK raises groups of many kinds; all mean: no tools, so no run
                run.outcome, run.detail = "gateway_error", reason(error)
            else:
                async with self.held(run.id):
                    run.outcome, run.detail = await self._drive(run, tools, schema)
                if run.closes:
                    await self._leave(run, tools)
        await self._emit(run, "finished", {"outcome": run.outcome, "detail": run.detail})
        return run

    async def wait(self, run: Run, seconds: float, *, schema: Mapping[str, Any] | None = None) -> Run:
        """Go on with a run that waits for people once they have decided; after `seconds` it is left waiting."""
        until = monotonic() + seconds
        while run.outcome == "waiting" and monotonic() < until:
            await asyncio.sleep(PAUSE)
            await self.resume(run, schema=schema)
        return run

    async def tell(self, tool: str, **arguments: Any) -> Answer | None:
        """Call a tool of the gateway that is not for the model; None when the agent may not use it. Never raises."""
        try:
            async with self._tools() as tools:
                return await tools.tell(tool, **arguments)
        except Exception as error:  # as above
            return Answer([{"type": "text", "text": reason(error)}], is_error=True, meta={})

    @asynccontextmanager
    async def held(self, run_id: str) -> AsyncIterator[None]:
        """Renew the lease of a run, if it has one, until the block ends: a model may think for longer than that."""
        if self.limits.lease is None:
            yield
            return
        left = asyncio.Event()
        task = asyncio.create_task(self._renew(run_id, self.limits.lease, left))
        try:
            yield
        finally:
            left.set()  # and not cancelled: whatever is said of the run next must come after the last renewal
            await task

    async def _renew(self, run_id: str, lease: float, left: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(lease / 3):
                    await left.wait()
            if left.is_set() or await self.tell(MARK, run=run_id, state="active", lease=lease) is None:
                return

    async def _leave(self, run: Run, tools: Tools) -> None:
        """Say how a run stands that is now left alone. People may take longer to decide than an agent lives."""
        if run.outcome == "waiting":
            await tools.tell(MARK, run=run.id, state="active", lease=0)
        elif run.outcome == "end_turn":
            answer = await tools.tell(MARK, run=run.id, state="finished")
            if answer is not None and answer.is_error:
                run.detail = f"the gateway did not close the run: {answer.text}"

    def _tools(self) -> AbstractAsyncContextManager[Tools]:
        return open_tools(self.gateway, self.token, self.limits.call_seconds, self.limits.lease)

    async def _drive(self, run: Run, tools: Tools, schema: Mapping[str, Any] | None) -> tuple[str, str]:
        while True:
            if calls := run.unanswered():
                await self._answer(run, calls, tools)
                if run.waiting:
                    return "waiting", f"for a decision on {', '.join(map(str, run.waiting.values()))}"
            if exceeded := run.exceeds(self.limits, is_priced=self.model.is_priced):
                return exceeded
            try:
                answer = await self._ask(run, tools, schema)
            except Exception as error:  # the SDK also raises ValueError, and garbage fails to convert
                return "model_error", reason(error)
            await self._record(run, answer)
            stop = answer.get("stop_reason") or "no_stop_reason"
            if stop == "pause_turn" or (stop == "tool_use" and run.unanswered()):
                continue
            if run.unanswered() or not answer["content"]:  # cut-off calls are never made; nothing cannot be resent
                run.messages.pop()
            return OUTCOMES.get(stop, stop), (answer.get("stop_details") or {}).get("explanation") or ""

    async def _ask(self, run: Run, tools: Tools, schema: Mapping[str, Any] | None) -> dict[str, Any]:
        message = await self.model.client.messages.create(
            model=self.model.name,
            max_tokens=min(self.limits.max_tokens, self.limits.tokens - run.tokens),
            system=self.system,
            tools=cast(list[ToolParam], tools.definitions) or omit,
            messages=cast(list[MessageParam], run.messages),
            cache_control={"type": "ephemeral"},
            output_config=_shape(schema) if schema else omit,
        )
        answer = message.to_dict(mode="json", warnings=False)  # no warnings of blocks this SDK does not know
        if not isinstance(answer.get("content"), list) or not answer.get("usage"):
            raise ValueError("the answer is not a message of the Messages API")
        return answer

    async def _record(self, run: Run, answer: dict[str, Any]) -> None:
        run.usage.append(answer["usage"])
        run.costs.append(self.model.cost(answer["usage"]))
        run.messages.append({"role": "assistant", "content": answer["content"]})
        run.text = "".join(block["text"] or "" for block in answer["content"] if block["type"] == "text")
        await self._emit(run, "answer", {**answer, "cost": run.costs[-1]})

    async def _answer(self, run: Run, calls: list[Block], tools: Tools) -> None:
        """Run the calls that have no result yet, in parallel; when all have one, say so in one message."""
        run.waiting.clear()
        async with asyncio.TaskGroup() as group:
            for use in calls:
                if use["id"] not in run.results:
                    group.create_task(self._call(run, use, tools))
        if not run.waiting:
            results = [run.results.pop(use["id"]) for use in calls]
            run.messages.append({"role": "user", "content": results})

    async def _call(self, run: Run, use: Block, tools: Tools) -> None:
        await self._emit(run, "call", use)
        answer = await tools.call(use["name"], use["input"], run=run.id, key=f"{run.id}/{use['id']}")
        if PENDING in answer.meta:
            run.waiting[use["id"]] = answer.meta[PENDING]
            await self._emit(run, "waiting", {"call": use, "ticket": answer.meta[PENDING]})
            return
        block = {"type": "tool_result", "tool_use_id": use["id"], "content": answer.content}
        run.results[use["id"]] = {**block, "is_error": True} if answer.is_error else block
        refusal = answer.meta.get(REFUSAL)
        await self._emit(run, "result", {"call": use, "result": run.results[use["id"]], "refusal": refusal})

    async def _emit(self, run: Run, kind: str, data: dict[str, Any]) -> None:
        await self.on_event(Event(run.id, self.name, kind, data))


def _shape(schema: Mapping[str, Any]) -> OutputConfigParam:
    """The schema as the API takes it: what it does not know (bounds, patterns) becomes description."""
    return {"format": {"type": "json_schema", "schema": transform_schema(dict(schema))}}
