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
    """Refuse an agent that asks faster than `per_second` on average, beyond a burst of `burst` requests."""

    per_second: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    buckets: dict[str, Bucket] = field(default_factory=dict)

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        self.admit(call.principal.agent)
        return await call_next(call)

    def admit(self, agent: str) -> None:
        """Count one request of this agent. Raises Throttled."""
        now = self.clock()
        bucket = self.buckets.get(agent)
        if bucket is None:
            bucket = self.buckets[agent] = Bucket(self.burst, now)
        bucket.level = min(self.burst, bucket.level + (now - bucket.at) * self.per_second)
        bucket.at = now
        if bucket.level < 1:
            wait = (1 - bucket.level) / self.per_second
            raise Throttled(
                f"Too many requests: {agent} may make {self.per_second:g} a second. "
                f"Nothing was run; wait {wait:.2g} seconds and try again.",
                retry_after=wait,
            )
        bucket.level -= 1
