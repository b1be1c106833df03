"""`toolgate__escalate`: every agent's way to say that something is beyond it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.approvals import Approvals
from gateway.call import OWN, Call, Facts, Result
from gateway.own import await_approval
from gateway.own.tools import OwnTool, answer
from gateway.policy import Policy

_WAIT = f"{OWN}__{await_approval.DEFINITION['name']}"

DEFINITION: dict[str, Any] = {
    "name": "escalate",
    "title": "Ask a person",
    "description": (
        "Say that something is beyond you, and ask a person to decide or to help: when you are not sure, when you are "
        "not allowed what the task needs, or when something looks wrong. It runs nothing. It returns a ticket; the "
        f"person's answer comes with {_WAIT}."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "reason": {
                "type": "string",
                "description": "What you need to know or to have decided, and why, with all that is needed to decide.",
                "minLength": 1,
                "maxLength": 4000,
            }
        },
        "required": ["reason"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": False},
}
FACTS = Facts(read_only=True)
"""Not idempotent: people would be asked twice. It changes nothing but who is asked, so read-only mode lets it be."""


def escalate(approvals: Approvals, policy: Callable[[], Policy]) -> OwnTool:
    """Opens a ticket of kind `request`, and answers with its id."""

    async def run(call: Call) -> Result:
        reason = str(call.arguments["reason"])
        ticket = await approvals.store.transact(lambda connection: approvals.ask(connection, call, reason))
        waits = policy().visible(call.principal.agent, OWN, str(await_approval.DEFINITION["name"]), "call")
        then = (
            f'their answer comes with {_WAIT} (ticket "{ticket.id}")'
            if waits
            else "they will find it where they decide; their answer does not come to you here"
        )
        return answer(f"People have been asked, on ticket {ticket.id}: {then}. Until then nothing changes.")

    return OwnTool(DEFINITION, run, FACTS)
