from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.call import Call, CallNext, Result
from gateway.errors import Throttled


@dataclass(slots=True)
class Bucket:
    """A token bucket: `level` tokens at time `at` (seconds, monotonic)."""

    level: float
    at: float


@dataclass(frozen=True, slots=True)
class Throttle:
    """Refuse an agent that asks faster than `per_second` on average, beyond a burst of `burst` requests.

    `rate` tells what an agent's own file says, in requests a second: then that counts, with a burst of twice as many.
    """

    per_second: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    rate: Callable[[str], float | None] = lambda agent: None
    buckets: dict[str, Bucket] = field(default_factory=dict)

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        self.admit(call.principal.agent)
        return await call_next(call)

    def admit(self, agent: str) -> None:
        """Count one request of this agent. Raises Throttled."""
        now, rate = self.clock(), self.rate(agent)
        per_second, burst = (self.per_second, self.burst) if rate is None else (rate, max(2 * rate, 1.0))
        bucket = self.buckets.get(agent)
        if bucket is None:
            bucket = self.buckets[agent] = Bucket(burst, now)
        bucket.level = min(burst, bucket.level + (now - bucket.at) * per_second)
        bucket.at = now
        if bucket.level < 1:
            wait = (1 - bucket.level) / per_second
            allowed = f"{per_second:g} a second" if per_second >= 1 else f"{per_second * 60:g} a minute"
            raise Throttled(
                f"Too many requests: {agent} may make {allowed}. "
                f"Nothing was run; wait {wait:.2g} seconds and try again.",
                retry_after=wait,
            )
        bucket.level -= 1
