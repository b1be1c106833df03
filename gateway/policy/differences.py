"""Every decision that changes between two policies.

Objects are tried exhaustively: one of each region that the rules of either side tell apart. Arguments are
sampled around every bound of either side, so where conditions differ and no sample shows it, that is told too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.policy.explain import compact, terms
from gateway.policy.objects import Object, objects
from gateway.policy.policy import Policy
from gateway.policy.rules import Rule
from gateway.policy.samples import calls
from gateway.policy.verdict import Request, Verdict, judge


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that differs. `example` are the plainest arguments that show it; `always`: any arguments do."""

    agent: str
    object: Object
    example: Mapping[str, Any]
    always: bool
    before: Verdict
    after: Verdict


@dataclass(frozen=True, slots=True)
class Differences:
    """`unshown` are agents and objects whose rules differ while no sampled call is decided otherwise."""

    appeared: tuple[str, ...]
    vanished: tuple[str, ...]
    changes: tuple[Change, ...]
    unshown: tuple[tuple[str, Object], ...]

    def __bool__(self) -> bool:
        return bool(self.appeared or self.vanished or self.changes)


def differences(
    old: Policy, new: Policy, servers: Collection[str], tools: Mapping[str, Collection[str]] | None = None
) -> Differences:
    """Compare two policies over `servers`; `tools` are known ones by server, told by their own names."""
    changes: list[Change] = []
    unshown: list[tuple[str, Object]] = []
    for agent in sorted(old.agents & new.agents):
        rules = [*old.rules(agent), *new.rules(agent)]
        for each in objects([rule for rule in rules if not rule.shadow], servers, tools):
            sides = [_speaking(policy, agent, each) for policy in (old, new)]
            if _plain(sides[0]) == _plain(sides[1]):
                continue
            found = [*_changes(old, new, agent, each, [*sides[0], *sides[1]])]
            changes += found
            if not found and _conditional(sides[0]) != _conditional(sides[1]):
                unshown.append((agent, each))
    appeared, vanished = sorted(new.agents - old.agents), sorted(old.agents - new.agents)
    return Differences(tuple(appeared), tuple(vanished), tuple(changes), tuple(unshown))


def words(verdict: Verdict) -> str:
    """A verdict as it is compared: outcome, reason, and what a call is subject to."""
    if verdict.outcome == "deny":
        return f"deny ({verdict.reason})"
    subject = terms(verdict.rule) if verdict.rule else {}
    gate = subject.pop("gate", None)
    outcome = f"gate {compact(gate, 1000)}" if verdict.outcome == "gate" else verdict.outcome
    return ", ".join([outcome, *(f"{name} {compact(value, 1000)}" for name, value in subject.items())])


def _speaking(policy: Policy, agent: str, each: Object) -> list[Rule]:
    rules = policy.rules(agent)
    return [rule for rule in rules if rule.matches(each.server, each.name, each.action) and not rule.shadow]


def _plain(rules: Sequence[Rule]) -> list[Any]:
    """What rules say of an object they all match, without where they stand."""
    return [(rule.effect, rule.where and dict(rule.where), terms(rule)) for rule in rules]


def _conditional(rules: Sequence[Rule]) -> list[Any]:
    """The conditions among them: on whether a rule holds, and on whether its gate stands."""
    return [each for each in _plain(rules) if each[1] is not None or "when" in each[2].get("gate", {})]


def _changes(old: Policy, new: Policy, agent: str, each: Object, rules: Sequence[Rule]) -> Iterator[Change]:
    found: dict[tuple[str, str], list[tuple[dict[str, Any], Verdict, Verdict]]] = {}
    tried = calls(rules) if each.action == "call" else [{}]
    for arguments in tried:
        request = Request(agent, each.action, each.server, each.name, arguments)
        before, after = judge(old, request), judge(new, request)
        found.setdefault((words(before), words(after)), []).append((arguments, before, after))
    for (was, is_now), shown in found.items():
        if was != is_now:
            example, before, after = min(shown, key=lambda tried: _plainness(tried[0]))
            yield Change(agent, each, example, len(found) == 1, before, after)


def _plainness(arguments: Mapping[str, Any]) -> tuple[int, int, str]:
    """Whole numbers before fractions, short before long."""
    text = compact(arguments, 1000)
    return sum(isinstance(value, float) for value in arguments.values()), len(text), text
