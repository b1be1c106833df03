from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.call import Call, CallNext, Result
from gateway.errors import Busy


@dataclass(frozen=True, slots=True)
class Bulkhead:
    """Let at most `limit(server)` calls be at an upstream at once; refuse the rest without waiting."""

    limit: Callable[[str], int]
    inside: Counter[str] = field(default_factory=Counter)

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        server = call.server
        if self.inside[server] >= self.limit(server):
            raise Busy(
                f"{server} already works on as many calls as it may at once; nothing was sent. "
                "Wait for your other calls there to finish, then call again.",
                retry_after=1.0,
            )
        self.inside[server] += 1
        try:
            return await call_next(call)
        finally:
            self.inside[server] -= 1
