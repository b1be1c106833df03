from __future__ import annotations

from dataclasses import dataclass

from gateway.call import Call, CallNext, Result


@dataclass(frozen=True, slots=True)
class Reserve:
    """Work out what the call takes of limits and budgets. It is taken with the intent, whole or not at all."""

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        return await call_next(call)
