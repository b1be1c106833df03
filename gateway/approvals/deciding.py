"""What reviewers say, and what a ticket becomes by it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from gateway.approvals import binding
from gateway.approvals.book import Book
from gateway.approvals.shown import approved_by, content
from gateway.approvals.ticket import OF_CALLS, Decision, Ticket, Undecidable, Verdict, masked
from gateway.approvals.using import expire
from gateway.fingerprint import fingerprint


def decide(
    book: Book,
    connection: Connection,
    ticket: str,
    reviewer: str,
    verdict: Verdict,
    words: str,
    arguments: Mapping[str, Any] | None,
    seen: Collection[str],
) -> Ticket:
    """First come, first served: the ticket as it stands then. Raises Undecidable."""
    found = book.load(connection, ticket)
    if found is None:
        raise Undecidable("absent", f"there is no ticket {ticket[:40]!r}")
    if found.state == "pending" and not all(content(found).startswith(start) for start in seen):
        raise Undecidable(
            "edited",
            f"somebody else edited the arguments meanwhile: ticket {found.id} is about other arguments now, so nothing "
            "was decided; look at it again",
        )
    _may(book, found, reviewer)
    edited = _edit(found, verdict, arguments)
    now, before = book.clock(), found
    if edited is not None:
        found = _with(found, edited)
    elif verdict == "approve" and reviewer in approved_by(found):
        raise Undecidable("twice", f"{reviewer} approved ticket {found.id} already; another reviewer has to")
    decision = Decision(reviewer, verdict, words, now, edited=edited is not None)
    found = replace(found, decisions=(*found.decisions, decision))
    if verdict == "reject":
        found = replace(found, state="rejected", decided=now, escalates=None)
    elif len(approved_by(found)) >= found.approvers:
        found = replace(found, state="approved", decided=now, escalates=None)
    data: dict[str, Any] = {"reviewer": reviewer, "verdict": verdict, "words": words}
    if edited is not None:
        data |= {"edited": masked(found.sent, found.secrets), "previous": masked(before.sent, before.secrets)}
    return book.change(connection, found, data, kind="decision", notice="decided")


def withdraw(book: Book, connection: Connection, ticket: str, agent: str) -> Ticket:
    """Its agent does not want it any more; one that is decided stays as it is. Raises TicketUnknown."""
    found = book.load(connection, ticket)
    if found is None or found.agent != agent:
        raise binding.unknown(ticket)
    return expire(book, connection, found, "withdrawn") if found.state == "pending" else found


def _may(book: Book, ticket: Ticket, reviewer: str) -> None:
    """Raises Undecidable when nobody, or not this reviewer, can decide on the ticket now."""
    bar = ticket.bars(reviewer)
    if bar == "requester":
        raise Undecidable(bar, f"ticket {ticket.id} is a request of {reviewer} itself; somebody else decides")
    over = ticket.state == "pending" and ticket.expires <= book.clock()
    if over or (ticket.state == "expired" and ticket.decided is None):
        raise Undecidable("expired", f"ticket {ticket.id} is not open any more ({ticket.why or 'time'})")
    if bar == "decided":
        last = ticket.decisions[-1]
        raise Undecidable(bar, f"ticket {ticket.id} is decided: {last.reviewer} said {last.verdict}")
    if bar == "tier":
        raise Undecidable(bar, f"ticket {ticket.id} is for {', '.join(sorted(ticket.asks() or ()))} to decide")


def _edit(ticket: Ticket, verdict: Verdict, arguments: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Other arguments than the ticket has now, or None. What is secret stays as the agent gave it."""
    if arguments is None:
        return None
    if verdict == "reject":
        raise Undecidable("arguments", "a rejection has no arguments: nothing will be run")
    if ticket.kind not in OF_CALLS:
        raise Undecidable("arguments", f"a ticket of kind {ticket.kind} has no arguments to edit")
    if bound := sorted(ticket.bound.keys() & arguments.keys()):
        raise Undecidable("arguments", f"the gateway fills in {', '.join(bound)}: nobody can edit that")
    kept = {name: ticket.given[name] for name in ticket.secrets if name in ticket.given}
    edited = {name: value for name, value in arguments.items() if name not in ticket.secrets} | kept
    try:
        same = _print(ticket, edited) == _print(ticket, ticket.sent)
    except TypeError:
        raise Undecidable("arguments", "the arguments are not what JSON can carry") from None
    return None if same else edited


def _with(ticket: Ticket, edited: Mapping[str, Any]) -> Ticket:
    digest = _print(ticket, edited)
    if digest == ticket.fingerprint:
        return replace(ticket, edited=None, approved=None)
    return replace(ticket, edited=edited, approved=digest)


def _print(ticket: Ticket, arguments: Mapping[str, Any]) -> str:
    return fingerprint(ticket.server, ticket.tool, "call", arguments, ticket.bound)
