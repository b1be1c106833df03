from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.call import Call, CallNext, Result
from gateway.credentials import Credentials


@dataclass(frozen=True, slots=True)
class AttachCredential:
    """Attach this agent's secret for this upstream; refuse when the upstream needs one and there is none."""

    credentials: Credentials

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        credential = self.credentials.of(call.principal.agent, call.server)
        return await call_next(call if credential is None else replace(call, credential=credential))
