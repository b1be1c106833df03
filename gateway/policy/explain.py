"""Why a request is decided as it is: every rule that speaks of its object, and what keeps it from holding."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.policy.policy import Policy
from gateway.policy.rules import Rule
from gateway.policy.verdict import Request, Verdict, judge
from gateway.policy.where import compile_where


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that matches the object. `failed` is the first condition that does not hold; empty: all do."""

    rule: Rule
    failed: str

    @property
    def holds(self) -> bool:
        return not self.failed


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict and its steps. `near` are objects of allow rules with a like name, where no rule matches."""

    request: Request
    verdict: Verdict
    steps: tuple[Step, ...]
    near: tuple[str, ...]


def explain(policy: Policy, request: Request) -> Explanation:
    """Everything the policy says of one request."""
    rules = policy.rules(request.agent)
    matching = [rule for rule in rules if rule.matches(request.server, request.name, request.action)]
    steps = tuple(Step(rule, failure(rule, request.arguments)) for rule in matching)
    granted = [rule for rule in rules if rule.effect == "allow" and rule.action == request.action]
    names = sorted({target(rule) for rule in granted})
    near = () if matching else tuple(difflib.get_close_matches(request.target, names, n=3, cutoff=0.4))
    return Explanation(request, judge(policy, request), steps, near)


def failure(rule: Rule, arguments: Mapping[str, Any]) -> str:
    """The first condition of the rule that these arguments do not meet; empty when all of them hold."""
    for name, schema in (rule.where or {}).items():
        if not compile_where(rule.id, rule.effect, {name: schema}).holds(arguments):
            given = f"{name} = {compact(arguments[name])}" if name in arguments else f"{name} is left out, which"
            return f"{given} does not fit {compact(schema)}"
    for name in rule.bind or {}:
        if name in arguments:
            return f"{name} is given, but is for the gateway to fill in"
    return ""


def target(rule: Rule) -> str:
    return f"{rule.server}/{rule.name}"


def role(rule: Rule) -> str | None:
    """The role a rule comes through, None for an agent's own."""
    kind, colon, name = rule.subject.partition(":")
    return name if colon and kind == "role" else None


def terms(rule: Rule) -> dict[str, Any]:
    """What a rule adds to the calls it allows: `bind`, `gate`, `limit`, `budget`, as far as it has them."""
    named = {"bind": rule.bind, "gate": rule.gate, "limit": rule.limit, "budget": rule.budget}
    return {name: value for name, value in named.items() if value is not None}


def compact(value: Any, most: int = 100) -> str:
    """A value as JSON on one line, cut off after `most` characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else f"{text[:most]}..."
