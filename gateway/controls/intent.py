from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.audit import Audit, Outcome
from gateway.call import Call, CallNext, Result
from gateway.errors import Refused, Unrecorded


@dataclass(frozen=True, slots=True)
class Intent:
    """Nothing below runs before its intent is durable; nothing is answered before its outcome is."""

    audit: Audit
    clock: Callable[[], float] = time.perf_counter

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        started = self.clock()

        def ended(outcome: Outcome, result: Result | None = None, reason: str | None = None) -> asyncio.Future[None]:
            seconds = self.clock() - started
            return self.audit.outcome(call, outcome, seconds=seconds, result=result, reason=reason)

        try:
            await self.audit.intent(call)
        except (asyncio.CancelledError, Unrecorded) as error:
            # The intent may be written after all, but nothing was sent.
            ended("failed", reason="cancelled" if isinstance(error, asyncio.CancelledError) else "unrecorded")
            raise
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
