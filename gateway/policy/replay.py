"""A candidate policy over recorded calls: which of them would be decided otherwise, by which rule.

Read from the log alone. What was decided then is compared with what the candidate decides, and, to tell a change of
policy from one that came into force since, with what the policy in force decides now. Limits and budgets are left out:
they depend on what else was called.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import orjson
from sqlalchemy import select

from gateway.approvals.ticket import MASK, OF_CALLS
from gateway.confidence import CONFIDENCE, REASON, share
from gateway.policy.policy import Policy
from gateway.policy.rules import Action
from gateway.policy.verdict import REASONS, Outcome
from gateway.store import Store
from gateway.tables import tokens
from gateway.trail import Event

KINDS = ("intent", "refusal", "ticket")
"""The events that say how a call was decided."""

Change = Literal["refused", "allowed", "gated", "ungated"]
CHANGES: Mapping[tuple[Outcome, Outcome], Change] = {
    ("allow", "deny"): "refused",
    ("gate", "deny"): "refused",
    ("deny", "allow"): "allowed",
    ("allow", "gate"): "gated",
    ("deny", "gate"): "gated",
    ("gate", "allow"): "ungated",
}
"""What a change from the first outcome to the second is called."""

Apart = Literal["oversize", "secret", "token", "confidence", "name", "older"]
APART: Mapping[Apart, str] = {
    "oversize": "their arguments are recorded by digest only, and a rule looks at arguments",
    "secret": "a rule looks at an argument that is recorded by digest only, for it is secret",
    "token": "a rule looks at claims of their token, and the token is not known",
    "confidence": "a gate looks at how sure the caller was, who did not say, and may not have been asked",
    "name": "their name is too long, or not printable, and so not recorded as it was",
    "older": "they were recorded before the log held all it takes",
}
"""Why a decision cannot be replayed."""

_SHOWN = 3
"""Examples that are kept of one change."""
_DIGEST = re.compile(r"hmac:[0-9a-f]{64}")
_UNDOING = ".compensate"
"""How the rule of a call ends that undoes a step of a run: it needs none of the policy."""
_CHANGED = re.compile(r"#[0-9a-f]{64}$|\\\\")
"""In names that are not recorded as they were: see `audit.short_name`."""
_NONE = frozenset[str]()

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call as the log has it. `arguments` are the agent's own, without those that the gateway filled in; None where
    they are recorded by digest only. `hidden` are those whose value is. `rule` is what decided, or a reason.
    """

    event: Event
    action: Action
    outcome: Outcome
    rule: str
    arguments: Mapping[str, Any] | None
    hidden: frozenset[str]

    @property
    def target(self) -> str:
        return f"{self.event.server}/{self.event.tool}"


@dataclass(frozen=True, slots=True)
class Decided:
    outcome: Outcome
    rule: str
    """The id of the rule, or the reason where no rule decided."""


@dataclass(slots=True)
class Changed:
    """Calls whose decision changes in the same way, by the same rules. `already` of the `calls` are decided so by the
    policy in force too: that change came into force since they were made.
    """

    change: Change
    before: Decided
    after: Decided
    calls: int = 0
    already: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    examples: list[Recorded] = field(default_factory=list)


@dataclass(slots=True)
class Replayed:
    """`calls` were replayed, `apart` could not be, and `others` were refused for a reason that no policy decides, such
    as a limit. `drifted`: the policy in force decides them otherwise than they were decided, whatever the candidate.
    """

    calls: int = 0
    drifted: int = 0
    others: Counter[str] = field(default_factory=Counter)
    apart: Counter[Apart] = field(default_factory=Counter)
    changes: dict[tuple[Change, str, str], Changed] = field(default_factory=dict)

    def count(self, change: Change, *, already: bool = True) -> int:
        """Calls with this change, with or without those that the policy in force decides so already."""
        found = (each for each in self.changes.values() if each.change == change)
        return sum(each.calls - (0 if already else each.already) for each in found)


def claims_of(store: Store) -> dict[str, Claims]:
    """Claims of all tokens there ever were, by their id: they never change."""
    found = store.read(select(tokens.c.id, tokens.c.claims))
    return {row.id: {} if row.claims is None else orjson.loads(row.claims) for row in found}


def replay(events: Iterable[Event], candidate: Policy, current: Policy, claims: Mapping[str, Claims]) -> Replayed:
    """Decide the calls that `events`, of KINDS, tell of once more."""
    new, now, found = _Judge(candidate), _Judge(current), Replayed()
    for event in events:
        if (reason := _undecided(event)) is not None:
            found.others[reason] += 1
        elif (recorded := _recorded(event)) is None:
            continue
        elif isinstance(recorded, Recorded):
            whose = claims.get(event.data["token"])
            after, present = new.decide(recorded, whose), now.decide(recorded, whose)
            if isinstance(after, Decided) and isinstance(present, Decided):
                _add(found, recorded, after, present)
            else:
                found.apart[present if isinstance(after, Decided) else after] += 1  # type: ignore[index]
        else:
            found.apart[recorded] += 1
    return found


def _add(found: Replayed, recorded: Recorded, after: Decided, present: Decided) -> None:
    found.calls += 1
    found.drifted += present.outcome != recorded.outcome
    change = CHANGES.get((recorded.outcome, after.outcome))
    if change is None:
        return
    before = Decided(recorded.outcome, recorded.rule)
    key = (change, f"{before.outcome} {before.rule}", f"{after.outcome} {after.rule}")
    group = found.changes.get(key)
    if group is None:
        group = found.changes[key] = Changed(change, before, after)
    group.calls += 1
    group.already += present.outcome == after.outcome
    group.agents[recorded.event.agent] += 1
    group.tools[recorded.target] += 1
    if len(group.examples) < _SHOWN:
        group.examples.append(recorded)


def _undecided(event: Event) -> str | None:
    """Why a call was refused that the policy had not refused; None for all else."""
    if event.kind != "refusal":
        return None
    if event.data.get("detail") == "no such tool":
        return "no such tool"
    return None if event.reason in REASONS else event.reason


def _recorded(event: Event) -> Recorded | Apart | None:
    """The decision that an event tells of. None for what is no decision of a policy: how a ticket goes on, the call
    that it was for, the undoing of a step.
    """
    data, rule = event.data, event.data.get("rule", "")
    if event.kind == "ticket":
        if data.get("deed") != "opened" or data["gate"] not in OF_CALLS:
            return None
        return _of(event, "gate", rule) if "bound" in data else "older"
    if event.kind == "intent":
        return None if "ticket" in data or rule.endswith(_UNDOING) else _of(event, "allow", rule)
    detail = data.get("detail") if event.reason == "denied" else None
    return _of(event, "deny", detail or event.reason or "")


def _of(event: Event, outcome: Outcome, rule: str) -> Recorded | Apart:
    if _CHANGED.search(event.tool):
        return "name"
    given, action = event.data["arguments"], event.data.get("action", "call")
    if given.keys() == {"bytes", "digest"} and _hidden(given["digest"]):
        return Recorded(event, action, outcome, rule, None, _NONE)
    bound = event.data.get("bound", ())
    arguments = {name: value for name, value in given.items() if name not in bound}
    hidden = frozenset(name for name, value in arguments.items() if _hidden(value))
    return Recorded(event, action, outcome, rule, arguments, hidden)


def _hidden(value: Any) -> bool:
    return isinstance(value, str) and (value == MASK or _DIGEST.fullmatch(value) is not None)


@dataclass(frozen=True, slots=True)
class _Looks:
    """What the rules for one object look at: arguments whose value decides, those that must not be given, and whether
    the gateway adds the caller's confidence to the arguments.
    """

    values: frozenset[str]
    filled: frozenset[str]
    confidence: bool


class _Judge:
    """One policy's decisions on recorded calls."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._looks = cache(self._looked)

    def decide(self, recorded: Recorded, claims: Claims | None) -> Decided | Apart:
        event = recorded.event
        looks = self._looks(event.agent, event.server, event.tool, recorded.action)
        if recorded.arguments is None and (looks.values or looks.filled):
            return "oversize"
        if not recorded.hidden.isdisjoint(looks.values):
            return "secret"
        arguments = recorded.arguments or {}
        confidence = event.data.get("confidence") or 0.0
        said = confidence > 0 or event.data.get("gate") == "confidence" or CONFIDENCE in arguments
        if looks.confidence and event.kind == "refusal":
            # A refusal holds the arguments as they came in.
            confidence = confidence or share(arguments.get(CONFIDENCE))
            arguments = {name: value for name, value in arguments.items() if name not in (CONFIDENCE, REASON)}
        decision = self._policy.decide(event.agent, event.server, event.tool, recorded.action, arguments)
        if not decision.allowed or decision.rule is None:
            visible = self._policy.visible(event.agent, event.server, event.tool, recorded.action)
            return Decided("deny", decision.rule or ("denied" if visible else "not_found"))
        named = {name: source for name, source in decision.bind.items() if isinstance(source, str)}
        if named and claims is None:
            return "token"
        filled = {name: source["const"] for name, source in decision.bind.items() if name not in named}
        for name, source in named.items():
            claim = source.removeprefix("claims.")
            if claims is None or claim not in claims:
                return Decided("deny", "no_claim")
            filled[name] = claims[claim]
        gate = decision.terms.gate
        if gate is None or recorded.action != "call":
            return Decided("allow", decision.rule)
        stands = [gate.stands({**arguments, **filled}, each) for each in ((confidence,) if said else (0.0, 1.0))]
        if stands[0] != stands[-1]:
            return "confidence"
        return Decided("gate" if stands[0] else "allow", decision.rule)

    def _looked(self, agent: str, server: str, tool: str, action: Action) -> _Looks:
        grant = self._policy.grants.get(agent)
        match = None if grant is None else grant.match(server, tool, action)
        if match is None:
            return _Looks(_NONE, _NONE, False)
        rules = [rule for rule in match.rules if not rule.shadow]
        wheres = [rule.where or {} for rule in rules] + [(rule.gate or {}).get("when") or {} for rule in rules]
        values = frozenset(name for where in wheres for name in where)
        filled = frozenset(name for rule in rules for name in rule.bind or {})
        return _Looks(values, filled, any(gate.type == "confidence" for gate in match.gates()))
