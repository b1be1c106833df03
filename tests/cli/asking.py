"""Tickets in the state folder of a desk, opened as the gateway opens them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from desk import HERE, Desk

from gateway.approvals import Ticket
from gateway.call import Call, Facts, Permit, Principal, Silent, Tool
from gateway.config import load
from gateway.pins import Pin, Pins, definition_of, digest_of
from gateway.state import State
from gateway.terms import Gate, Tier

APPROVAL = Gate("approval", lambda arguments: True)
TWO = Gate("approval", lambda arguments: True, approvers=2, words="Does the order explain the sum?")
TIERS = Gate("escalation", lambda arguments: True, tiers=(Tier(("lead",), 60.0), Tier(("owner",), None)))
UNSURE = Gate("confidence", lambda arguments: True, threshold=0.8)
CHARGE = {"order_id": "O-1", "amount": 400, "card_token": "tok_4242424242"}
SCHEMA = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "amount": {"type": "integer", "minimum": 0},
        "card_token": {"type": "string"},
        "tenant": {"type": "string"},
        "note": {"type": "string"},
    },
    "required": ["amount"],
    "additionalProperties": False,
}
_ids = count(1)


@contextmanager
def opened(desk: Desk) -> Iterator[State]:
    """What is in the state folder, as a process beside the command sees it."""
    environ = {**os.environ, "PYTHON": sys.executable, "SHOP": str(HERE / "shop.py")}
    state = State(load(desk.folder / "gateway.toml", environ))
    try:
        yield state
    finally:
        state.close()


def call(arguments: Mapping[str, Any] = CHARGE, *, bind: Mapping[str, Any] | None = None, **fields: Any) -> Call:
    """A call of shop/charge_card that policy allows; `bind` is filled in by the gateway."""
    definition = {"name": "charge_card", "inputSchema": SCHEMA}
    facts = Facts(secrets=frozenset({"card_token"}))
    bind = bind or {}
    permit = Permit("payment.toml:allow[0]", "policy", bind={name: {"const": 0} for name in bind}, grant="grant")
    given: dict[str, Any] = {
        "id": f"call-{next(_ids)}",
        "principal": Principal("payment", "tokenid"),
        "server": "shop",
        "tool": "charge_card",
        "name": "shop__charge_card",
        "arguments": {**arguments, **bind},
        "given": dict(arguments),
        "peer": Silent(),
        "era": "modern",
        "definition": Tool("shop", "charge_card", definition, facts, lambda arguments: None),
        "permit": permit,
    }
    return Call(**{**given, **fields})


def ask(desk: Desk, made: Call, gate: Gate = APPROVAL) -> Ticket:
    """The ticket that such a call opens."""
    with opened(desk) as state:
        return state.store.run(partial(state.approvals.open, call=made, gate=gate))


def pin_tool(desk: Desk) -> None:
    """Have the tool's definition on record, as a gateway has that offers it."""
    tool = call().definition
    assert tool is not None
    definition = definition_of(tool.definition)
    with opened(desk) as state:
        pins = Pins(state.store)
        pins.write([(Pin(tool.server, tool.name, digest_of(definition), revision=1), definition)])
        pins.close()


def get(desk: Desk, ticket: Ticket) -> Ticket:
    """The ticket as it is now."""
    with opened(desk) as state:
        found = state.approvals.get(ticket.id)
    assert found is not None
    return found


def reviewer(desk: Desk, name: str = "ann") -> dict[str, str]:
    """The environment of a reviewer: a new token in it."""
    with opened(desk) as state:
        return {"TOOLGATE_REVIEWER_TOKEN": state.reviewers.create(name, expires=None)[0]}
