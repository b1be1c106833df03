"""How an approval is used: presented by a call, used up when that is sent, given back when it had no effect."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from gateway.approvals import binding
from gateway.approvals.book import Book
from gateway.approvals.ticket import Ticket, Why
from gateway.call import Call
from gateway.errors import Refused


def present(book: Book, connection: Connection, call: Call) -> tuple[Ticket | None, Refused | None]:
    """The ticket that `call.ticket` names, and why it does not carry this call, if so.

    One that is consumed passes: the ledger has the reply, or refuses. What can never be used any more is voided now.
    """
    assert call.ticket is not None and call.permit is not None
    ticket = book.load(connection, call.ticket)
    if ticket is None or binding.foreign(ticket, call):
        return None, binding.unknown(call.ticket)
    name = call.name
    if ticket.state == "pending":
        return ticket, None
    if ticket.state == "rejected":
        return ticket, binding.rejected(ticket, name)
    if ticket.state == "expired":
        return ticket, binding.void(ticket, name)
    if ticket.state == "approved" and (why := _fallen(book, ticket, call)) is not None:
        ticket = expire(book, connection, ticket, why)
        return ticket, binding.void(ticket, name)
    if binding.differs(ticket, call):
        return ticket, binding.changed_arguments(ticket, name)
    return ticket, None


def void(book: Book, ticket: Ticket, call: Call) -> Why | None:
    """Why a ticket in force is none any more for this call, if so."""
    return "time" if ticket.expires <= book.clock() else binding.stale(ticket, call)


def _fallen(book: Book, ticket: Ticket, call: Call) -> Why | None:
    """The same for an approved one."""
    if (why := void(book, ticket, call)) is not None:
        return why
    assert call.permit is not None
    if binding.differs(ticket, call) or call.permit.rule == ticket.rule:
        return None
    # A reviewer's edit can bring the call under another rule, which may want somebody else's consent.
    gate = call.permit.terms.gate
    return "arguments" if gate is not None and gate.stands(call.arguments, call.confidence) else None


def expire(book: Book, connection: Connection, ticket: Ticket, why: Why) -> Ticket:
    """A ticket that is void from now on."""
    return book.change(
        connection, replace(ticket, state="expired", why=why, escalates=None), {"deed": "expired", "why": why}
    )


def consume(book: Book, connection: Connection, call: Call) -> None:
    """Use up `call.ticket`. Raises TicketUnknown, Rejected, TicketVoid and its kinds."""
    assert call.ticket is not None
    ticket = book.load(connection, call.ticket)
    if ticket is None or binding.foreign(ticket, call):
        raise binding.unknown(call.ticket)
    match ticket.state:
        case "pending":
            raise binding.undecided(ticket, call.name)
        case "rejected":
            raise binding.rejected(ticket, call.name)
        case "expired":
            raise binding.void(ticket, call.name)
        case "consumed":
            raise binding.used(ticket, call.name)
    if ticket.expires <= book.clock():
        raise binding.void(replace(ticket, why="time"), call.name)
    if binding.differs(ticket, call):
        raise binding.changed_arguments(ticket, call.name)
    book.change(connection, replace(ticket, state="consumed"), {"deed": "consumed", "by": call.id})


def restore(book: Book, connection: Connection, call: Call) -> None:
    """The call that used up `call.ticket` had no effect: the approval stands again, as long as it would have."""
    ticket = None if call.ticket is None else book.load(connection, call.ticket)
    if ticket is not None and ticket.state == "consumed" and not binding.foreign(ticket, call):
        book.change(connection, replace(ticket, state="approved"), {"deed": "restored", "by": call.id})
