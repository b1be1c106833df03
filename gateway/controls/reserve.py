from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.budgets import spends
from gateway.call import Call, CallNext, Result


@dataclass(frozen=True, slots=True)
class Reserve:
    """Work out what the call takes of limits and budgets. It is taken with the intent, whole or not at all."""

    clock: Callable[[], float] = time.time

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        taken = spends(call, self.clock())
        return await call_next(replace(call, spends=taken) if taken else call)
