"""What the tests of approvals share: a desk over a real store, a clock that is set by hand, gated calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from databases import Place

from gateway.approvals import Approvals, Ticket
from gateway.approvals.book import Book
from gateway.audit import Audit
from gateway.call import Call, Facts, Permit, Principal, Silent, Tool
from gateway.sealed import Vault
from gateway.settings import ApprovalSettings
from gateway.terms import Gate, Terms, Tier

APPROVAL = Gate("approval", lambda arguments: True)
TWO = Gate("approval", lambda arguments: True, approvers=2)
TIERS = Gate(
    "escalation",
    lambda arguments: True,
    tiers=(Tier(("lead",), 60.0), Tier(("head", "deputy"), 120.0), Tier(("owner",), None)),
)


@dataclass
class Clock:
    """Seconds since the epoch, as told."""

    now: float = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


def tool(description: str = "Pays.", **facts: Any) -> Tool:
    definition = {"name": "pay", "description": description, "inputSchema": {"type": "object"}}
    return Tool("shop", "pay", definition, Facts(**facts), lambda arguments: None)


def call(agent: str = "ada", *, gate: Gate | None = APPROVAL, grant: str = "g1", **fields: Any) -> Call:
    arguments = fields.pop("arguments", {"amount": 100})
    bind = fields.pop("bind", {})
    rule = fields.pop("rule", "r1")
    permit = Permit(rule, "policy", bind={name: {"const": 0} for name in bind}, terms=Terms(gate=gate), grant=grant)
    given: dict[str, Any] = {
        "id": "c1",
        "principal": Principal(agent, "t1"),
        "server": "shop",
        "tool": "pay",
        "name": "shop__pay",
        "arguments": {**arguments, **bind},
        "given": arguments,
        "peer": Silent(),
        "era": "modern",
        "definition": tool(),
        "permit": permit,
    }
    return Call(**{**given, **fields})


def presenting(ticket: Ticket, made: Call, **fields: Any) -> Call:
    """The call as it is made again once its ticket is decided, as the face does."""
    arguments = dict(ticket.sent)
    again = replace(made, id="c2", given=arguments, arguments={**arguments, **ticket.bound})
    return replace(again, ticket=ticket.id, key=ticket.key, run=ticket.run, **fields)


class Visible:
    """A policy in which the tool to wait with is seen, or is not."""

    def __init__(self, seen: bool) -> None:
        self.seen = seen

    def visible(self, agent: str, server: str, name: str, action: str) -> bool:
        return self.seen and (server, name) == ("toolgate", "await_approval")


class Desk:
    """Approvals over the store at a place. Work is done here and now, each piece a transaction."""

    def __init__(self, place: Place, clock: Clock, key: bytes = b"v" * 32, **settings: Any) -> None:
        self.place = place
        self.clock = clock
        self.store = place.open(lambda rows, seconds: self.approvals.committed(), clock)
        made = ApprovalSettings(**{"expires": 3600.0, **settings})
        self.audit = Audit(self.store, b"k" * 32, clock)
        self.approvals = Approvals(self.store, Vault(key), made, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.stop()

    @property
    def book(self) -> Book:
        return self.approvals._book

    def open(self, made: Call, gate: Gate = APPROVAL) -> Ticket:
        return self.store.run(partial(self.approvals.open, call=made, gate=gate))

    def decide(self, ticket: str, reviewer: str = "rita", verdict: Any = "approve", **more: Any) -> Ticket:
        return self.store.run(partial(self.approvals.decide, ticket=ticket, reviewer=reviewer, verdict=verdict, **more))

    def consume(self, made: Call) -> None:
        self.store.run(partial(self.approvals.consume, call=made))

    def restore(self, made: Call) -> None:
        self.store.run(partial(self.approvals.restore, call=made))

    def withdraw(self, ticket: str, agent: str = "ada") -> Ticket:
        return self.store.run(partial(self.approvals.withdraw, ticket=ticket, agent=agent))

    def present(self, made: Call) -> Any:
        return self.store.run(partial(self.approvals.present, call=made))[1]

    def get(self, ticket: str) -> Ticket:
        found = self.approvals.get(ticket)
        assert found is not None
        return found

    async def sweep(self) -> None:
        """All that is due now, by the writer thread, which must run."""
        while await self.approvals.sweep():
            pass

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        rows = self.place.rows("events")
        return [{"event": row["kind"], **json.loads(row["data"])} for row in rows if not kinds or row["kind"] in kinds]
