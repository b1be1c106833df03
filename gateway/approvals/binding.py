"""What an approval is bound to, and whether a call is still that."""

from __future__ import annotations

from gateway.approvals.ticket import Ticket, Why
from gateway.call import Call, Tool
from gateway.errors import (
    ArgumentsChanged,
    PolicyChanged,
    Refused,
    Rejected,
    SchemaChanged,
    TicketExpired,
    TicketUnknown,
    TicketUsed,
    TicketVoid,
)
from gateway.fingerprint import fingerprint_of
from gateway.pins import definition_of, digest_of


def schema_of(tool: Tool) -> str:
    """Digest of a tool's definition, as pins have it."""
    return digest_of(definition_of(tool.definition))


def stale(ticket: Ticket, call: Call) -> Why | None:
    """What of the agent's policy and the tool is another now than when the ticket was opened, if anything."""
    assert call.permit is not None and call.definition is not None
    if ticket.policy != call.permit.grant:
        return "policy"
    return "schema" if ticket.schema != schema_of(call.definition) else None


def foreign(ticket: Ticket | None, call: Call) -> bool:
    """Whether this agent has no such ticket."""
    return ticket is None or ticket.agent != call.principal.agent


def differs(ticket: Ticket, call: Call) -> bool:
    """Whether the call is another than the one that was decided on."""
    decided = ticket.fingerprint if ticket.approved is None else ticket.approved
    same = (ticket.server, ticket.tool) == (call.server, call.tool) and fingerprint_of(call) == decided
    return not same


def unknown(ticket: str) -> TicketUnknown:
    """One answer for a ticket that is absent and one of another agent."""
    return TicketUnknown(
        f"There is no ticket {ticket[:40]!r} of yours. Nothing was run; use the id exactly as you were given it, or "
        "make the call itself."
    )


def rejected(ticket: Ticket, name: str) -> Rejected:
    """In the words of the reviewer who said no."""
    last = next((each for each in reversed(ticket.decisions) if each.verdict == "reject"), None)
    words = f" The reviewer's words: {last.words}" if last is not None and last.words else ""
    return Rejected(
        f"A reviewer rejected this call of {name} (ticket {ticket.id}). Nothing was run.{words} Do not make the same "
        "call again; do what the reviewer says, or report that it was not allowed."
    )


def used(ticket: Ticket, name: str) -> TicketUsed:
    return TicketUsed(
        f"The approval of this call of {name} (ticket {ticket.id}) was used already, and its result is not kept any "
        "more. Nothing was run now; look what the first call did before you ask for another."
    )


def undecided(ticket: Ticket, name: str) -> TicketVoid:
    return TicketVoid(f"Nobody decided on this call of {name} yet (ticket {ticket.id}). Nothing was run; wait for it.")


def changed_arguments(ticket: Ticket, name: str) -> ArgumentsChanged:
    return ArgumentsChanged(
        f"The arguments of this call of {name} are not those that ticket {ticket.id} is about. Nothing was run; wait "
        "with the same access you asked with, or make the call anew to have it decided."
    )


def void(ticket: Ticket, name: str) -> Refused:
    """Why a ticket that has expired cannot be used, each with its own reason."""
    about = f"call of {name} (ticket {ticket.id})"
    anew = "Nothing was run; make the call again if it is still needed, and it is decided anew."
    match ticket.why:
        case "policy":
            return PolicyChanged(f"The policy changed since this {about} was made, so its approval is void. {anew}")
        case "schema":
            return SchemaChanged(f"The tool changed since this {about} was made, so its approval is void. {anew}")
        case "arguments":
            return ArgumentsChanged(
                f"With its arguments as they were decided, another rule applies to this {about} that asks for another "
                f"consent, so its approval is void. {anew}"
            )
        case "withdrawn":
            return TicketVoid(f"This {about} was withdrawn by its own agent. {anew}")
        case _:
            return TicketExpired(f"Time is over for this {about}: nobody decided, or came for it, in time. {anew}")
