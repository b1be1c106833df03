from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.call import Call, CallNext, Result
from gateway.errors import Refused, UpstreamFailed
from gateway.metrics import Metrics

_SAVED_AT_MOST = 10.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Try an idempotent call again after a transient failure, with full jitter and within a retry budget.

    Full jitter: the n-th wait is random * min(cap, base * 2**(n-1)) seconds (AWS Architecture Blog, 2015).
    The budget of an upstream grows by `budget` with each call and each retry takes 1, so that an outage sees
    at most (1 + budget) times the calls.
    """

    attempts: int
    base: float
    cap: float
    budget: float
    metrics: Metrics
    draw: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    saved: dict[str, float] = field(default_factory=dict)

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        server = call.server
        self.saved[server] = min(_SAVED_AT_MOST, self.saved.get(server, _SAVED_AT_MOST) + self.budget)
        attempt, doubt = 0, None
        while True:
            try:
                return await call_next(call)
            except Refused as refused:
                if isinstance(refused, UpstreamFailed) and not refused.answered and refused.ran is None:
                    doubt = refused
                attempt += 1
                if attempt >= self.attempts or not self._again(call, refused):
                    # What an earlier attempt may have done is not undone by a later one that did nothing.
                    raise (doubt if doubt is not None and refused.ran is False else refused) from None
            self.saved[server] -= 1
            self.metrics.retries.labels(server).inc()
            await self.sleep(self.draw() * min(self.cap, self.base * 2 ** (attempt - 1)))

    def _again(self, call: Call, refused: Refused) -> bool:
        transient = isinstance(refused, UpstreamFailed) and not refused.answered
        return transient and call.idempotent and self.saved[call.server] >= 1
