"""A ticket as people see it: declared secrets masked, the agent's arguments beside those that a reviewer put there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gateway.approvals.ticket import Ticket
from gateway.strict import same
from gateway.times import moment

Change = Literal["", "changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of what will run. `before` is the agent's value where a reviewer's edit `changed` it."""

    name: str
    value: Any
    filled: bool = False
    secret: bool = False
    change: Change = ""
    before: Any = None


def arguments(ticket: Ticket) -> list[Argument]:
    """What will run, in the agent's order, then what the gateway filled in and what an edit added."""
    return list(_arguments(ticket))


def _arguments(ticket: Ticket) -> Iterator[Argument]:
    before = dict(ticket.shown)
    after = current(ticket)
    for name, value in before.items():
        filled, secret = name in ticket.bound, name in ticket.secrets
        if name not in after:
            yield Argument(name, None, filled, secret, "removed", value)
        elif same(after[name], value):
            yield Argument(name, value, filled, secret)
        else:
            yield Argument(name, after[name], filled, secret, "changed", value)
    for name in [name for name in after if name not in before]:
        yield Argument(name, after[name], secret=name in ticket.secrets, change="added")


def current(ticket: Ticket) -> dict[str, Any]:
    """The arguments as they stand now, after an edit if there was one, as people may see them."""
    shown = dict(ticket.shown)
    if ticket.edited is None:
        return shown
    after = {
        # What the edit left alone, a secret always, is shown as it was.
        name: shown[name] if name in shown and name in ticket.given and same(value, ticket.given[name]) else value
        for name, value in ticket.edited.items()
    }
    after |= {name: shown[name] for name in ticket.bound if name in shown}
    return {name: after[name] for name in [*shown, *after] if name in after}


def ticket_json(ticket: Ticket, now: float) -> dict[str, Any]:
    """A ticket as the API tells it. Times are ISO 8601 in UTC, `left` is in seconds."""
    listed = arguments(ticket)
    asks = ticket.asks()
    return {
        "id": ticket.id,
        "kind": ticket.kind,
        "state": ticket.state,
        "why": ticket.why,
        "agent": ticket.agent,
        "server": ticket.server,
        "tool": ticket.tool,
        "call": ticket.call,
        "run": ticket.run,
        "rule": ticket.rule,
        "words": ticket.words,
        "reason": ticket.reason,
        "confidence": ticket.confidence,
        "arguments": current(ticket),
        "filled_in": [each.name for each in listed if each.filled],
        "secret": [each.name for each in listed if each.secret],
        "before": dict(ticket.shown) if ticket.edited is not None else None,
        "changed": [each.name for each in listed if each.change],
        "fingerprint": content(ticket),
        "approvers": ticket.approvers,
        "asks": None if asks is None else sorted(asks),
        "tier": ticket.tier if ticket.tiers else None,
        "tiers": [{"reviewers": list(tier.reviewers), "after": tier.after} for tier in ticket.tiers],
        "escalates": moment(ticket.escalates),
        "decisions": [
            {"reviewer": each.reviewer, "verdict": each.verdict, "words": each.words, "at": moment(each.at)}
            | {"edited": each.edited}
            for each in ticket.decisions
        ],
        "opened": moment(ticket.opened),
        "expires": moment(ticket.expires),
        "decided": moment(ticket.decided),
        "left": round(max(0.0, ticket.expires - now), 1) if ticket.state in ("pending", "approved") else None,
    }


def content(ticket: Ticket) -> str:
    """Digest of what an approval of this ticket would be of: another value after each edit.

    Only of what people may see: by a digest that has a secret in it, short secrets could be guessed.
    """
    return hashlib.sha256(json.dumps([ticket.id, current(ticket)], sort_keys=True).encode()).hexdigest()


def approved_by(ticket: Ticket) -> list[str]:
    """Who approved the arguments as they stand now: an edit begins anew."""
    names: list[str] = []
    for decision in ticket.decisions:
        if decision.edited:
            names.clear()
        if decision.verdict == "approve":
            names.append(decision.reviewer)
    return names


def may_decide(ticket: Ticket, reviewer: str) -> str | None:
    """Why this reviewer cannot decide now, in a sentence; None when it can."""
    match ticket.bars(reviewer):
        case "decided":
            return "It is decided."
        case "requester":
            return "You have the name of the agent that asks, so somebody else has to decide."
        case "tier":
            return f"Only {', '.join(sorted(ticket.asks() or ()))} may decide now."
    return None
