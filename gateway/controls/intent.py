from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.audit import Outcome
from gateway.call import Call, CallNext, Result
from gateway.errors import Refused, Unrecorded
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.traces import span


@dataclass(frozen=True, slots=True)
class Intent:
    """Nothing below runs before its intent is durable; nothing is answered before its outcome is.

    With them goes what the store has to know of the call. One that was made before is answered as it was then.
    """

    ledger: Ledger
    metrics: Metrics
    clock: Callable[[], float] = time.perf_counter

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        with self.ledger.runs.leases.during(call):
            return await self._recorded(call, call_next)

    async def _recorded(self, call: Call, call_next: CallNext) -> Result:
        started = self.clock()

        def ended(outcome: Outcome, result: Result | None = None, reason: str | None = None) -> asyncio.Future[None]:
            seconds = self.clock() - started
            return self.ledger.end(call, outcome, seconds=seconds, result=result, reason=reason)

        try:
            with span("toolgate.intent"):
                stored = await self.ledger.begin(call)
        except (asyncio.CancelledError, Unrecorded) as error:
            # The intent may be written after all, but nothing was sent.
            ended("failed", reason="cancelled" if isinstance(error, asyncio.CancelledError) else "unrecorded")
            raise
        if stored is not None:
            self.metrics.deduplicated.labels(call.principal.agent, "stored").inc()
            return stored
        if self.ledger.fenced():
            ended("failed", reason="unrecorded")
            raise Unrecorded(
                "This replica of the gateway lost touch with the others, so nothing was sent. Try again.",
                retry_after=1.0,
            )
        started = self.clock()
        try:
            result = await call_next(call)
        except Refused as refused:
            await _durable(ended("unknown" if refused.ran is None else "failed", reason=refused.reason))
            refused.recorded = True
            raise
        except BaseException as error:
            # Cancelled: the caller is gone, so the event is handed to the writer without waiting for it.
            ended("unknown", reason="cancelled" if isinstance(error, asyncio.CancelledError) else "unexpected")
            raise
        await _durable(ended(_outcome(result), result))
        return result


async def _durable(outcome: asyncio.Future[None]) -> None:
    """Wait for an outcome event. Raises Unrecorded in words that do not invite to call again."""
    try:
        with span("toolgate.outcome"):
            await outcome
    except Unrecorded as refused:
        raise Unrecorded(
            "The gateway cannot write its audit log, so the outcome of this call is held back. "
            "The call may have taken effect: look before you repeat it.",
            retry_after=refused.retry_after,
        ) from None


def _outcome(result: Result) -> Outcome:
    if result.get("resultType") == "input_required":
        return "input_required"
    return "tool_error" if result.get("isError") else "ok"
