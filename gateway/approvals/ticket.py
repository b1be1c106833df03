"""A ticket: one call that waits for people, or something else that people are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gateway.errors import ToolgateError
from gateway.terms import GateType, Tier

Kind = Literal["approval", "confidence", "escalation", "request", "undo"]
"""The gate's type; `request`: an agent said that something is beyond it; `undo`: a step that could not be undone."""

State = Literal["pending", "approved", "rejected", "expired", "consumed"]
"""Only a pending one can be decided, only an approved one used, once. Whatever makes one void expires it: see `why`."""

Why = Literal["time", "policy", "schema", "arguments", "withdrawn"]
"""What made a ticket void: nobody came in time, or what it is bound to is another now, or its agent gave it up."""

Verdict = Literal["approve", "reject"]

Bar = Literal["requester", "decided", "tier"]

OF_CALLS: frozenset[str] = frozenset(get_args(GateType))
"""Kinds of ticket that stand for a call: there is a gate to tune, and there are arguments to edit."""

MAX_WORDS = 4000
"""Characters that a reviewer's words may have."""

MASK = "[secret]"
"""What people see of an argument that is declared secret."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer said, and when. `edited`: with other arguments than the agent's."""

    reviewer: str
    verdict: Verdict
    words: str
    at: float
    edited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A row of `tickets`, opened. Times are seconds since the epoch.

    `given` are the arguments as the agent gave them, `bound` those that the gateway filled in, `edited` what a
    reviewer put in place of `given`; all three may hold secrets, in the arguments named in `secrets`. `shown` is what
    people may see of the arguments as they were judged: secrets masked, those of `bound` among them. `fingerprint`
    binds server, tool, `given` and `bound`; `approved` the same with `edited`. `schema` is the digest of the tool's
    definition, `policy` that of all the agent may do. `why` says what made it void.
    """

    id: str
    revision: int
    kind: Kind
    state: State
    why: Why | None = None
    agent: str
    token: str
    server: str
    tool: str
    call: str
    run: str | None = None
    key: str | None = None
    rule: str
    policy: str
    schema: str
    fingerprint: str
    approved: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    bound: Mapping[str, Any] = field(default_factory=dict, repr=False)
    edited: Mapping[str, Any] | None = field(default=None, repr=False)
    secrets: frozenset[str] = frozenset()
    shown: Mapping[str, Any] = field(default_factory=dict, repr=False)
    confidence: float | None = None
    reason: str | None = None
    """Why the agent wants it, in its own words: never to be trusted, always to be shown as a quotation."""
    words: str | None = None
    """What the policy wants the reviewer to look at."""
    approvers: int = 1
    decisions: tuple[Decision, ...] = ()
    tiers: tuple[Tier, ...] = ()
    tier: int = 0
    escalates: float | None = None
    opened: float
    expires: float
    decided: float | None = None

    @property
    def claim(self) -> str:
        """The idempotency key under which the call runs: the caller's, else the ticket's own."""
        return self.key if self.key is not None else f"ticket/{self.id}"

    @property
    def sent(self) -> Mapping[str, Any]:
        """The arguments that the call is made with, but for those filled in; they may hold secrets."""
        return self.given if self.edited is None else self.edited

    def asks(self) -> frozenset[str] | None:
        """The reviewers who may decide now, those of earlier tiers among them; None: any."""
        return frozenset(name for tier in self.tiers[: self.tier + 1] for name in tier.reviewers) or None

    def bars(self, reviewer: str) -> Bar | None:
        """Why this reviewer cannot decide on it, but for time; None when it can."""
        if reviewer == self.agent:
            return "requester"
        if self.state != "pending":
            return "decided"
        asked = self.asks()
        return "tier" if asked is not None and reviewer not in asked else None


def masked(arguments: Mapping[str, Any], secrets: frozenset[str]) -> dict[str, Any]:
    """Arguments as people may see them."""
    return {name: MASK if name in secrets else value for name, value in arguments.items()}


class Undecidable(ToolgateError):
    """A decision that cannot be made.

    `reason` is absent, edited, decided, expired, requester, tier, twice or arguments.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
