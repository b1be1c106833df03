"""Every decision that changes between two policies.

Objects are tried exhaustively: one of each region that the rules of either side tell apart. Arguments are
sampled around every bound of either side, so where conditions differ and no sample shows it, that is told too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.policy.explain import terms
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
    example: dict[str, Any]
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
    telling: dict[str, list[dict[str, Any]]] = {}
    for agent in sorted(old.agents & new.agents):
        rules = [*old.rules(agent), *new.rules(agent)]
        for each in objects([rule for rule in rules if not rule.shadow], servers, tools):
            before, after = (_speaking(policy, agent, each) for policy in (old, new))
            if (said := _said(before)) == _said(after):
                continue
            # What tells two sets of rules apart is found once, however many agents and objects they concern.
            key = f"{each.action} {said} {_said(after)}"
            tried = telling.get(key) or (calls([*before, *after]) if each.action == "call" else [{}])
            shown = _shown(old, new, agent, each, tried)
            telling[key] = [one.example for one in shown]
            found = [one for one in shown if words(one.before) != words(one.after)]
            changes += found
            if not found and _conditional(before) != _conditional(after):
                unshown.append((agent, each))
    appeared, vanished = sorted(new.agents - old.agents), sorted(old.agents - new.agents)
    return Differences(tuple(appeared), tuple(vanished), tuple(changes), tuple(unshown))


def words(verdict: Verdict) -> str:
    """A verdict as it is compared: outcome, reason, and what a call is subject to."""
    if verdict.outcome == "deny":
        return f"deny ({verdict.reason})"
    subject = terms(verdict.rule) if verdict.rule else {}
    gate = {name: value for name, value in subject.pop("gate", {}).items() if name != "when"}
    outcome = f"gate {_json(gate)}" if verdict.outcome == "gate" else verdict.outcome
    return ", ".join([outcome, *(f"{name} {_json(value)}" for name, value in subject.items())])


def _speaking(policy: Policy, agent: str, each: Object) -> list[Rule]:
    """The rules in force that match an object, in file order."""
    match = policy.grants[agent].match(each.server, each.name, each.action)
    return [rule for rule in match.rules if not rule.shadow] if match else []


def _conditional(rules: Sequence[Rule]) -> str:
    """What those with a condition say, on whether they hold or whether their gate stands. No allow, no difference."""
    conditional = [rule for rule in rules if rule.where is not None or "when" in (rule.gate or {})]
    return _said(conditional if any(rule.effect == "allow" for rule in rules) else [])


def _said(rules: Sequence[Rule]) -> str:
    """What rules say of an object that they all match, without where they stand. JSON tells 1 from true."""
    return _json([[rule.effect, rule.where, terms(rule)] for rule in rules])


def _shown(old: Policy, new: Policy, agent: str, each: Object, tried: Sequence[dict[str, Any]]) -> list[Change]:
    """The plainest of the tried calls for each pair of decisions that there is, before and after, alike or not."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for arguments in tried:
        request = Request(agent, each.action, each.server, each.name, arguments)
        before, after = judge(old, request), judge(new, request)
        change = Change(agent, each, arguments, False, before, after)
        groups.setdefault((words(before), words(after)), []).append(change)
    plainest = (min(group, key=lambda change: _plainness(change.example)) for group in groups.values())
    return [replace(change, always=len(groups) == 1) for change in plainest]


def _plainness(arguments: Mapping[str, Any]) -> tuple[int, int, str]:
    """Whole numbers before fractions, short before long."""
    text = _json(arguments)
    return sum(isinstance(value, float) for value in arguments.values()), len(text), text


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
