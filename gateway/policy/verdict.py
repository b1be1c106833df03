"""What becomes of one request: allow, deny or gate, and the rule that says so. For those who look at a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.policy.policy import Policy
from gateway.policy.rules import Action, Rule
from gateway.policy.where import compile_where

Outcome = Literal["allow", "deny", "gate"]
OUTCOMES: tuple[Outcome, ...] = ("allow", "deny", "gate")
REASONS = ("not_found", "denied", "no_claim")
"""Why a request is refused, as agents are told it. `no_claim`: the token lacks a claim that the rule binds."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants to do what, with which arguments. `claims` are those of the token, None when any would do."""

    agent: str
    action: Action
    server: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] | None = None

    @property
    def target(self) -> str:
        return f"{self.server}/{self.name}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is one of REASONS for a deny, else empty. `rule` is None when no rule decided. `shadow` is the rule
    in shadow that would turn it round.
    """

    outcome: Outcome
    reason: str
    rule: Rule | None
    shadow: str | None = None

    @property
    def source(self) -> str:
        """The id of the rule, or the reason where there is none."""
        return self.rule.id if self.rule else self.reason

    def __str__(self) -> str:
        by = f"by {self.rule.id} at {self.rule.place}" if self.rule else "for no rule allows it"
        return f"{self.outcome}{f' ({self.reason})' if self.reason else ''} {by}"


def judge(policy: Policy, request: Request) -> Verdict:
    """The policy's decision on `request`, and whether a gate stands before an allowed one."""
    agent, server, name, action = request.agent, request.server, request.name, request.action
    decision = policy.decide(agent, server, name, action, request.arguments)
    rule = next((rule for rule in policy.rules(agent) if rule.id == decision.rule), None)
    if not decision.allowed:
        reason = "denied" if policy.visible(agent, server, name, action) else "not_found"
        return Verdict("deny", reason, rule, decision.shadow)
    if rule and request.claims is not None and unclaimed(rule, request.claims):
        return Verdict("deny", "no_claim", rule, decision.shadow)
    return Verdict("gate" if rule and gated(rule, request.arguments) else "allow", "", rule, decision.shadow)


def gated(rule: Rule, arguments: Mapping[str, Any]) -> bool:
    """Whether the rule's gate stands before a call with these arguments. In doubt it does."""
    if rule.gate is None:
        return False
    when = rule.gate.get("when")
    return when is None or compile_where(rule.id, "deny", when).holds(arguments)


def unclaimed(rule: Rule, claims: Mapping[str, Any]) -> list[str]:
    """The claims that the rule fills arguments from, and that are not there."""
    sources = [value for value in (rule.bind or {}).values() if isinstance(value, str)]
    named = [source.removeprefix("claims.") for source in sources if source.startswith("claims.")]
    return sorted({claim for claim in named if claim not in claims})
