from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.audit import Audit
from gateway.call import Call, CallNext, Result
from gateway.errors import Refused, Unexpected, Unrecorded

log = logging.getLogger("toolgate")


@dataclass(frozen=True, slots=True)
class RecordRefusals:
    """Write one durable event per refusal before the refusal is told, unless an outcome event tells of it.

    A defect of the gateway becomes a refusal here: it is recorded like one, and nothing of it is told.
    """

    audit: Audit

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        try:
            return await self._contained(call, call_next)
        except Unrecorded:
            raise  # nothing can be written now
        except Refused as refused:
            if not refused.recorded:
                await self.audit.refusal(call, refused)
            raise

    async def _contained(self, call: Call, call_next: CallNext) -> Result:
        try:
            return await call_next(call)
        except Refused:
            raise
        except Exception:
            log.exception("call %s failed inside the gateway", call.id)
            raise Unexpected(
                f"The gateway itself failed while handling this call (call {call.id}). Whether it took effect is not "
                "known: look before you repeat it, and report the call id."
            ) from None
