from __future__ import annotations

from dataclasses import dataclass

from gateway.audit import Audit
from gateway.call import Call, CallNext, Result
from gateway.errors import Refused, Unrecorded


@dataclass(frozen=True, slots=True)
class RecordRefusals:
    """Write one durable event per refusal before the refusal is told, unless an outcome event tells of it."""

    audit: Audit

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        try:
            return await call_next(call)
        except Unrecorded:
            raise  # nothing can be written now
        except Refused as refused:
            if not refused.recorded:
                await self.audit.refusal(call, refused)
            raise
