"""Tickets as rows: read, and written with the event that says what became of them and the notice that tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, insert, select, update

from gateway.approvals.notices import add_notice
from gateway.approvals.ticket import Decision, Ticket
from gateway.changes import bump
from gateway.events import event_row, insert_events
from gateway.sealed import Unsealable, Vault
from gateway.settings import ApprovalSettings
from gateway.tables import tickets
from gateway.terms import Tier

NoticeKind = Literal["opened", "escalated", "expiring", "decided"]

_PLAIN = (
    *("id", "revision", "kind", "state", "why", "agent", "token", "server", "tool", "call", "run", "key", "rule"),
    *("policy", "schema", "fingerprint", "confidence", "reason", "words", "approvers", "tier", "escalates", "opened"),
    *("expires", "decided"),
)
"""Columns that are as in a Ticket."""


@dataclass(frozen=True, slots=True)
class Book:
    """What changes tickets shares: how they are written, and the time."""

    vault: Vault
    settings: ApprovalSettings
    clock: Callable[[], float]
    touched: Callable[[], None]
    """Told, from any thread, that a transaction changes a ticket."""

    def read(self, row: Row[Any]) -> Ticket:
        """A row of `tickets`, opened. Without the `secret.key` that it was sealed with it has no arguments, and so fits
        no call; people can still see and close it.
        """
        known = row._mapping
        try:
            sealed = self.vault.open(known["sealed"], _place(known["id"]))
        except Unsealable:
            sealed = {"given": {}, "bound": {}, "edited": None, "secrets": []}
        return Ticket(
            **{name: known[name] for name in _PLAIN},
            approved=known["edited"],
            given=sealed["given"],
            bound=sealed["bound"],
            edited=sealed["edited"],
            secrets=frozenset(sealed["secrets"]),
            shown=orjson.loads(known["shown"]),
            decisions=tuple(Decision(**each) for each in orjson.loads(known["decisions"])),
            tiers=tuple(Tier(tuple(each["reviewers"]), each["after"]) for each in orjson.loads(known["tiers"])),
        )

    def load(self, connection: Connection, ticket: str) -> Ticket | None:
        """A ticket that is about to be changed."""
        row = connection.execute(select(tickets).where(tickets.c.id == ticket).with_for_update()).one_or_none()
        return None if row is None else self.read(row)

    def add(self, connection: Connection, ticket: Ticket) -> Ticket:
        """A new ticket, with its event and notice."""
        ticket = replace(ticket, revision=bump(connection, "tickets"))
        connection.execute(insert(tickets).values(self._values(ticket)))
        self._note(connection, ticket, "ticket", _opening(ticket), "opened")
        return ticket

    def change(
        self,
        connection: Connection,
        ticket: Ticket,
        data: Mapping[str, Any],
        *,
        kind: Literal["ticket", "decision"] = "ticket",
        notice: NoticeKind | None = None,
    ) -> Ticket:
        """The ticket as it is from now on, with the event that says so, and its notice where people are to hear."""
        ticket = replace(ticket, revision=bump(connection, "tickets"))
        connection.execute(update(tickets).where(tickets.c.id == ticket.id).values(self._values(ticket)))
        self._note(connection, ticket, kind, {"state": ticket.state, **data}, notice)
        return ticket

    def _note(
        self, connection: Connection, ticket: Ticket, kind: str, data: Mapping[str, Any], notice: NoticeKind | None
    ) -> None:
        now = self.clock()
        event = event_row(
            now,
            kind,
            {"ticket": ticket.id, **data},
            call=ticket.call,
            agent=ticket.agent,
            server=ticket.server,
            tool=ticket.tool,
            run=ticket.run,
        )
        insert_events(connection, [event])
        if notice is not None and self.settings.webhook is not None:
            add_notice(connection, ticket.id, ticket.revision, notice, now)
        self.touched()

    def _values(self, ticket: Ticket) -> dict[str, Any]:
        sealed = {
            "given": dict(ticket.given),
            "bound": dict(ticket.bound),
            "edited": None if ticket.edited is None else dict(ticket.edited),
            "secrets": sorted(ticket.secrets),
        }
        return {
            **{name: getattr(ticket, name) for name in _PLAIN},
            "edited": ticket.approved,
            "sealed": self.vault.seal(sealed, _place(ticket.id)),
            "shown": _json(dict(ticket.shown)),
            "decisions": _json([asdict(each) for each in ticket.decisions]),
            "tiers": _json([asdict(tier) for tier in ticket.tiers]),
        }


def _opening(ticket: Ticket) -> dict[str, Any]:
    return {
        "state": ticket.state,
        "deed": "opened",
        "gate": ticket.kind,
        "rule": ticket.rule,
        "policy": ticket.policy,
        "schema": ticket.schema,
        "token": ticket.token,
        "arguments": dict(ticket.shown),
        "bound": sorted(ticket.bound),
        "confidence": ticket.confidence,
        "reason": ticket.reason,
        "approvers": ticket.approvers,
        "expires": ticket.expires,
    }


def _place(ticket: str) -> str:
    return f"ticket/{ticket}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
