from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from gateway.approvals import Approvals, Ticket
from gateway.approvals.binding import rejected
from gateway.call import OWN, PENDING, Call, CallNext, Result
from gateway.policy import Policy
from gateway.terms import Gate as Asked
from gateway.traces import span

AWAIT = "await_approval"

_WAIT = (
    f"Call {OWN}__{AWAIT}(ticket={{!r}}) to wait for the decision and get the result; do not repeat this call, and do "
    "not look for a way around it."
)
_LATER = "To get the result, make exactly the same call again later; do not look for a way around it."


@dataclass(frozen=True, slots=True)
class Gate:
    """Let a call through that needs nobody's consent, or has it; for any other open a ticket, and say so.

    It waits for nobody: whoever waits for the decision calls again with `call.ticket`, through every control above.
    """

    approvals: Approvals
    policy: Callable[[], Policy]

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        if call.ticket is not None:
            return await self._redeem(call, call_next)
        gate = None if call.permit is None else call.permit.terms.gate
        if gate is None or call.action != "call" or not gate.stands(call.arguments, call.confidence):
            return await call_next(call)
        ticket = await self._open(call, gate)
        if ticket.state == "rejected":
            raise rejected(ticket, call.name)
        return self._pending(call, ticket)

    async def _open(self, call: Call, gate: Asked) -> Ticket:
        with span("toolgate.gate"):
            return await self.approvals.store.transact(partial(self.approvals.open, call=call, gate=gate))

    async def _redeem(self, call: Call, call_next: CallNext) -> Result:
        """Send a call on under its ticket's claim. What is worth nothing is refused, with its own reason."""
        with span("toolgate.gate"):
            ticket, refused = await self.approvals.store.transact(partial(self.approvals.present, call=call))
        if refused is not None:
            raise refused
        assert ticket is not None
        if ticket.state == "pending":
            return self._pending(call, ticket)
        return await call_next(replace(call, key=ticket.claim))

    def _pending(self, call: Call, ticket: Ticket) -> Result:
        seen = self.policy().visible(call.principal.agent, OWN, AWAIT, "call")
        text = (
            f"NOT EXECUTED. Approval {ticket.id} is pending: a person has to allow this call of {call.name} first. "
            f"{_WAIT.format(ticket.id) if seen else _LATER}"
        )
        return {"content": [{"type": "text", "text": text}], "_meta": {PENDING: ticket.id}}
