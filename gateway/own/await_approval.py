"""`toolgate__await_approval`: come back for a call that waits for people. The face does the waiting."""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway.approvals import Approvals, Ticket
from gateway.call import Call, Facts, Result
from gateway.errors import TicketExpired, TicketUnknown
from gateway.own.tools import OwnTool, answer

DEFINITION: dict[str, Any] = {
    "name": "await_approval",
    "title": "Wait for an approval",
    "description": (
        "Wait for the decision on a call that needs a person's approval, or for the answer to a request made with "
        "toolgate__escalate. Once the call is approved it is run, and this tool returns its result, exactly as the "
        "call itself would have. It returns within about a minute; when it says that the approval is still pending, "
        "call it again. Calling it again is safe: an approved call is run once."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "ticket": {"type": "string", "description": "The ticket that the pending answer named.", "maxLength": 64}
        },
        "required": ["ticket"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False},
}
FACTS = Facts(idempotent=True, read_only=True)

_PENDING = (
    "NOT EXECUTED. Ticket {ticket} is still pending: nobody has decided on it yet. Call this tool again with the same "
    "ticket to go on waiting; do not make the call itself again, and do not look for a way around it."
)


def await_approval(approvals: Approvals) -> OwnTool:
    """Says which ticket is meant, in `_meta`: whoever serves the client waits for it, and redeems it."""

    async def run(call: Call) -> Result:
        name = str(call.arguments["ticket"])
        ticket = await approvals.store.look(partial(approvals.of_agent, name, call.principal.agent))
        if ticket is None:
            raise TicketUnknown(
                "There is no such ticket of yours. Nothing was run; use a ticket exactly as a pending answer named it, "
                "or make the call again."
            )
        if ticket.kind == "request" and ticket.state != "pending":
            return _answered(ticket)
        return answer(_PENDING.format(ticket=ticket.id), pending=ticket.id)

    return OwnTool(DEFINITION, run, FACTS)


def _answered(ticket: Ticket) -> Result:
    """What people said to a request of the agent's. Raises TicketExpired."""
    if ticket.decided is None:
        raise TicketExpired(
            f"Nobody answered request {ticket.id} in time. Nothing was run; go on without, or ask again."
        )
    said = "; ".join(decision.words for decision in ticket.decisions if decision.words)
    verdict = "said no" if ticket.decisions[-1].verdict == "reject" else "agreed"
    words = f" Their words: {said}" if said else " They left no words."
    return answer(f"A person looked at request {ticket.id} and {verdict}.{words}")
