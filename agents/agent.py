"""An agent: a model with a job, a token, and the tools the gateway shows to that token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from agents.loop import Loop
from agents.model import Model
from agents.run import LIMITED, UNFINISHED, Limits, Run
from agents.runs import Runs, new_id
from agents.tools import MARK, Answer, Tools, open_tools, reason

PAUSE = 1.0
"""Seconds between two requests that ask for a decision; the gateway holds each one open for a while."""


class Runner(Protocol):
    """Whatever does a task as a run: an agent, or a pattern of agents, which therefore nest."""

    @property
    def name(self) -> str: ...
    @property
    def job(self) -> str: ...
    def agents(self) -> list[Agent]:
        """All that may work in a run of it; their names differ."""

    async def run(
        self, task: str, *, run_id: str | None = None, closes: bool = True, schema: Mapping[str, Any] | None = None
    ) -> Run:
        """Do `task`, or go on with the run that has this id. Where it `closes`, a good end is told to the gateway,
        which then keeps nothing to undo it with. `schema` is asked of the last words; whoever asks checks them.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A run of it ends as its `outcome` says, and never raises for what a model, a tool or the network does:

    end_turn, max_tokens, stop_sequence, refusal, context_full, any other stop reason by its own name; max_turns,
    max_calls, token_budget, cost_limit, time_limit, loop (it goes round in circles); waiting (for a human), model_error
    or gateway_error.
    """

    name: str
    job: str
    system: str
    model: Model
    gateway: str = ""
    token: str | None = field(default=None, repr=False)
    """None: it has no tools, and needs no gateway."""
    limits: Limits = field(default_factory=Limits)
    runs: Runs = field(default_factory=Runs, repr=False)

    def agents(self) -> list[Agent]:
        return [self]

    async def run(
        self, task: str, *, run_id: str | None = None, closes: bool = True, schema: Mapping[str, Any] | None = None
    ) -> Run:
        """Do `task`; with the id of a run that was begun before, go on with it, and with one that ended, return it.

        Raises ValueError and Taken as `Runs` do.
        """
        identity = run_id or new_id(self.name)
        async with self.runs.driving(identity):
            more = {"model": self.model.name, "limits": self.limits.told()}
            run = await self.runs.open(identity, self.name, task, closes=closes, **more)
            return await self.resume(run, schema=schema)

    async def say(self, run: Run, text: str, *, schema: Mapping[str, Any] | None = None) -> Run:
        """Continue a run with a message. Raises ValueError while calls of the run are unanswered."""
        if run.unanswered():
            raise ValueError(f"run {run.id} has unanswered calls; resume it before saying more")
        async with self.runs.driving(run.id):
            await self.runs.note(run, "message", {"text": text})
            return await self.resume(run, schema=schema)

    async def resume(self, run: Run, *, schema: Mapping[str, Any] | None = None) -> Run:
        """Go on where the run stands; calls that have a result are not made again, a run that ended stays as it is."""
        if run.outcome not in UNFINISHED | LIMITED:
            return run
        async with self.runs.driving(run.id):
            if run.outcome != "running":
                await self.runs.note(run, "resumed", {})
            outcome, detail = await self._drive(run, schema)
            await self.runs.note(run, "finished", {"outcome": outcome, "detail": detail})
        return run

    async def _drive(self, run: Run, schema: Mapping[str, Any] | None) -> tuple[str, str]:
        async with AsyncExitStack() as stack:
            try:
                tools = await stack.enter_async_context(self._tools())
            except Exception as error:  # the SDK raises groups of many kinds; all mean: no tools, so no run
                return "gateway_error", reason(error)
            async with self.held(run.id):
                outcome, detail = await Loop(self.runs, self.model, self.system, tools, self.limits, schema).drive(run)
            if run.closes:
                detail = await self._leave(run, outcome, tools) or detail
            return outcome, detail

    async def tell(self, tool: str, **arguments: Any) -> Answer | None:
        """Call a tool of the gateway that is not for the model; None when the agent may not use it. Never raises."""
        try:
            async with self._tools() as tools:
                return await tools.tell(tool, **arguments)
        except Exception as error:  # as above
            return Answer([{"type": "text", "text": reason(error)}], is_error=True, meta={})

    @asynccontextmanager
    async def held(self, run_id: str) -> AsyncIterator[None]:
        """Renew the lease of a run at the gateway, if it has one, until the block ends: a model may think for long."""
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

    async def _leave(self, run: Run, outcome: str, tools: Tools) -> str:
        """Say how a run stands that is now left alone; what is wrong with that. People may take longer to decide than
        an agent lives.
        """
        if outcome == "waiting":
            await tools.tell(MARK, run=run.id, state="active", lease=0)
        elif outcome == "end_turn":
            answer = await tools.tell(MARK, run=run.id, state="finished")
            if answer is not None and answer.is_error:
                return f"the gateway did not close the run: {answer.text}"
        return ""

    def _tools(self) -> AbstractAsyncContextManager[Tools]:
        if self.token is None:
            return nullcontext(Tools())
        return open_tools(self.gateway, self.token, self.limits.call_seconds, self.limits.lease)


async def patiently(runner: Runner, run: Run, seconds: float) -> Run:
    """Go on with a run that waits for people until they have decided; after `seconds` it is left waiting."""
    until = monotonic() + seconds
    while run.outcome == "waiting" and monotonic() < until:
        await asyncio.sleep(PAUSE)
        run = await runner.run(run.task, run_id=run.id)
    return run
