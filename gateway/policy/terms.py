"""`gate`, `limit` and `budget` of a rule, as written, to the terms that controls ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from gateway.policy.extras import RATE
from gateway.policy.rules import Rule
from gateway.policy.where import compile_where
from gateway.terms import NO_TERMS, Budget, Gate, Limit, Period, Terms, Tier

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def compile_terms(rule: Rule) -> Terms:
    """What this rule asks. Its keys are known to be right: see `extras`."""
    if rule.gate is None and rule.limit is None and rule.budget is None:
        return NO_TERMS
    return Terms(
        object=f"{rule.server}/{rule.name}",
        gate=None if rule.gate is None else _gate(rule.id, rule.gate),
        limits=tuple(map(rate, rule.limit or ())),
        budgets=tuple(
            Budget(each["sum"], each["max"], each["per"], each.get("currency")) for each in rule.budget or ()
        ),
    )


def _gate(rule: str, gate: Mapping[str, Any]) -> Gate:
    tiers = tuple(Tier(tuple(tier["reviewers"]), span(tier.get("after"))) for tier in gate.get("tiers", ()))
    when = gate.get("when")
    return Gate(
        type=gate["type"],
        # Read as a deny rule reads: in doubt the gate stands.
        applies=_always if when is None else compile_where(rule, "deny", when).holds,
        threshold=gate.get("threshold", 1.0),
        approvers=gate.get("approvers", 1),
        expires=span(gate.get("expires")),
        tiers=tiers,
        words=gate.get("words"),
    )


def _always(arguments: Mapping[str, Any]) -> bool:
    return True


def rate(text: str) -> Limit:
    """`"10/minute"`. Raises ValueError."""
    match = RATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return Limit(int(match[1]), cast(Period, match[2]))


def span(text: str | None) -> float | None:
    """Seconds of `"30m"`; None for None."""
    return None if text is None else float(int(text[:-1]) * _UNITS[text[-1]])
