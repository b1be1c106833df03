from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.call import PENDING, Call, CallNext, Result
from gateway.errors import Refused
from gateway.logs import untold
from gateway.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Measure:
    """Count every call, whatever becomes of it, and have it told of in the log."""

    metrics: Metrics
    told: Callable[[Call, str, float], None] = untold
    """Is told of each call, what became of it, and the seconds it took."""
    clock: Callable[[], float] = time.perf_counter

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        metrics, started, outcome = self.metrics, self.clock(), "cancelled"
        metrics.in_flight.inc()
        try:
            result = await call_next(call)
            outcome = _outcome(result)
            return result
        except Refused as refused:
            outcome = refused.reason
            metrics.refusals.labels(call.principal.agent, refused.reason).inc()
            raise
        except Exception:
            outcome = "unexpected"
            raise
        finally:
            server = call.server or "-"
            tool = call.tool if call.definition is not None else "-"
            metrics.in_flight.dec()
            metrics.calls.labels(call.principal.agent, server, tool, outcome).inc()
            self.told(call, outcome, self.clock() - started)


def _outcome(result: Result) -> str:
    if PENDING in (result.get("_meta") or ()):
        return "pending"
    return "tool_error" if result.get("isError") else "ok"
