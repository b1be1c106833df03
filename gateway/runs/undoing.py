"""The task that undoes runs: of agents that failed, that asked for it, or that fell silent beyond their lease.

What it does is durable before it is done: after a crash it goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from gateway.approvals import Approvals, Ticket
from gateway.aside import aside
from gateway.call import Call, CallNext, Permit, Principal, Silent, Tool
from gateway.errors import Refused, Unrecorded
from gateway.metrics import Metrics
from gateway.runs.lapsing import Lapsing
from gateway.runs.leases import RunKey
from gateway.runs.outcomes import UNKNOWN, Failed, Outcomes, Stuck
from gateway.runs.plan import Plan
from gateway.runs.rows import Run, Step
from gateway.runs.saga import Runs
from gateway.sealed import Unsealable
from gateway.settings import RunSettings

log = logging.getLogger("toolgate.runs")

T = TypeVar("T")

_LOOK = 0.5
"""Seconds between two looks for runs that another process marked, for decisions and for leases that ran out."""
_AT_ONCE = 8
"""Steps being undone at one upstream at once: agents need it too."""
_SWEEP = 3600.0


class Undoing:
    """`tool` tells what an upstream offers now, `policy` the digest in force, `read_only` whether an agent may only
    read, `on_duty` whether it is this process that undoes: of several, one does.
    """

    def __init__(
        self,
        runs: Runs,
        approvals: Approvals,
        settings: RunSettings,
        metrics: Metrics,
        tool: Callable[[str, str], Tool | None],
        policy: Callable[[], str],
        read_only: Callable[[str], bool],
        on_duty: Callable[[], bool] = lambda: True,
        draw: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.outcomes = Outcomes(runs, approvals, settings, tool, draw, clock)
        self._runs, self._approvals, self._metrics = runs, approvals, metrics
        self._tool, self._policy, self._read_only, self._on_duty = tool, policy, read_only, on_duty
        self._lapsing = Lapsing(runs, on_duty, clock)
        self._keep, self._longest, self._clock = settings.keep, settings.cap, clock
        self._tasks: dict[RunKey, asyncio.Task[None]] = {}
        self._slots: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        self._woken, self._ended = asyncio.Event(), asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self, send: CallNext) -> None:
        """For ever; `send` are the controls from intent inward."""
        unwatch = self._approvals.watch(self._heard)
        swept = -_SWEEP
        try:
            while not self._stopping.is_set():
                self._woken.clear()
                try:
                    await self._lapsing.look()
                    if self._on_duty():
                        await self._look(send)
                    if self._on_duty() and time.monotonic() - swept > _SWEEP:
                        while await self._transact(partial(self._runs.sweep, before=self._clock() - self._keep)):
                            pass
                        swept = time.monotonic()
                except (Unrecorded, OperationalError):
                    pass  # the store says so itself, and is looked at again
                except Exception:  # whatever it is: were this task to end, nothing would be undone any more
                    log.exception("runs could not be looked at")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK):
                        await self._woken.wait()
        finally:
            unwatch()
            await self.close()

    async def close(self) -> None:
        """Begin nothing more; an attempt under way has a moment to end, for one cut off has to be settled by people."""
        self._stopping.set()
        self._woken.set()
        for patience in (2.0, 1.0):
            if not self._tasks:
                return
            await asyncio.wait(self._tasks.values(), timeout=patience)
            for task in self._tasks.values():
                task.cancel()

    def wake(self) -> None:
        """A run was marked in this process."""
        self._woken.set()

    async def wait(self, agent: str, run: str, seconds: float) -> Run | None:
        """The run once it is no longer being undone, or as it stands after `seconds`; None when there is none. Raises
        Unrecorded.
        """
        until = time.monotonic() + seconds
        while True:
            ended = self._ended
            found = await self._runs.store.look(partial(self._runs.find, agent=agent, run=run))
            left = until - time.monotonic()
            if not found or found[0].state != "rolling_back" or left <= 0:
                return found[0] if found else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK)):  # another replica may be the one that undoes it
                    await ended.wait()

    def _heard(self, ticket: Ticket) -> None:
        if ticket.run is not None:
            self._runs.leases.renew((ticket.agent, ticket.run))
        if ticket.kind == "undo" and ticket.state != "pending":
            self.wake()

    async def _look(self, send: CallNext) -> None:
        leases = self._runs.leases
        rolling, decided = await aside(self._read)
        if decided:
            await self._transact(self.outcomes.heed)
            rolling, _ = await aside(self._read)
        for key in rolling:
            leases.forget(key)
            if key not in self._tasks and not leases.changing[key] and not self._read_only(key[0]):
                task = asyncio.get_running_loop().create_task(self._undo(*key, send))
                self._tasks[key] = task
                task.add_done_callback(partial(self._over, key))

    def _read(self) -> tuple[list[RunKey], bool]:
        with self._runs.store.engine.connect() as connection:
            return self.outcomes.waiting(connection)

    def _over(self, key: RunKey, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Unrecorded):
            log.error("a run could not be undone for now", exc_info=error)
        self._ended.set()
        self._ended = asyncio.Event()

    async def _undo(self, agent: str, run: str, send: CallNext) -> None:
        """Undo the steps of a run that are left, the latest first, one after the other."""
        begun = self._clock()
        while self._on_duty() and not self._read_only(agent):
            step = await self._transact(partial(self.outcomes.next, agent=agent, run=run))
            if step is None:
                left = await aside(partial(self._left, agent, run))
                self._metrics.rollbacks.labels("stuck" if left else "undone").inc()
                log.info("run %s of %s is undone in %.1f s; %d steps wait", run, agent, self._clock() - begun, left)
                return
            await self._rest(step.due - self._clock())
            async with self._slots[step.server]:
                if self._stopping.is_set() or self._read_only(agent):  # it may have been switched meanwhile
                    return
                outcome = await self._attempt(step, send)
            await self._record(step, outcome)

    async def _rest(self, seconds: float) -> None:
        """No longer than the longest backoff: a wall clock that was set back must not put it off."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(seconds, self._longest))):
                await self._stopping.wait()

    def _left(self, agent: str, run: str) -> int:
        with self._runs.store.engine.connect() as connection:
            return self.outcomes.left(connection, agent, run)

    async def _record(self, step: Step, outcome: Failed | Stuck | None) -> None:
        result = "undone"
        if outcome is None:
            await self._transact(partial(self.outcomes.undone, step=step))
        elif isinstance(outcome, Failed):
            last = await self._transact(partial(self.outcomes.failed, step=step, failed=outcome))
            result = "stuck" if last else "failed"
        else:
            await self._transact(partial(self.outcomes.stuck, step=step, why=outcome.why))
            result = "stuck"
        self._metrics.undo_steps.labels(result).inc()

    async def _attempt(self, step: Step, send: CallNext) -> Failed | Stuck | None:
        """Undo one step; None when it is undone. Raises Unrecorded when that cannot be told now."""
        try:
            plan = self._runs.plan(step.call, step.sealed)
        except Unsealable as error:
            return Stuck(str(error))
        if plan.missing:
            missing = ", ".join(plan.missing)
            return Stuck(f"the call and its answer lack what it needs ({missing}): undo it by hand, and reject")
        tool = self._tool(step.server, step.undo)
        if tool is None:
            return Failed(f"{step.server} does not offer {step.undo} now")
        if (problem := tool.check(plan.arguments)) is not None:
            return Stuck(f"its arguments do not fit {step.undo}: {problem}")
        try:
            result = await send(self._call(step, plan, tool))
        except Unrecorded:
            raise
        except Refused as refused:
            if refused.ran is None and not tool.facts.idempotent:
                return Stuck(UNKNOWN)
            return Failed(f"of {refused.reason}", refused.retry_after or 0.0)
        except Exception:
            log.exception("undoing call %s failed inside the gateway", step.call)
            return Failed("of a defect of the gateway") if tool.facts.idempotent else Stuck(UNKNOWN)
        if result.get("resultType") == "input_required":
            return Failed("it asked for more input")
        return Failed(f"{step.undo} answered with an error") if result.get("isError") else None

    def _call(self, step: Step, plan: Plan, tool: Tool) -> Call:
        # What was secret in the call that is undone is so in this one, whatever is declared of its tool.
        tool = replace(tool, facts=replace(tool.facts, secrets=tool.facts.secrets.union(plan.secret)))
        rule = f"gateway.toml:servers.{step.server}.tools.{step.tool}.compensate"
        return Call(
            id=secrets.token_hex(16),
            principal=Principal(step.agent, ""),
            server=step.server,
            tool=step.undo,
            name=step.undo,
            arguments=plan.arguments,
            given=plan.arguments,
            peer=Silent(),
            era="legacy",
            run=step.run,
            key=step.key,
            undoes=step.call,
            definition=tool,
            permit=Permit(rule=rule, policy=self._policy()),
        )

    def _transact(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        return self._runs.store.transact(work)
