"""What one agent may do, compiled, and the decisions on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from gateway.policy.enforcer import Enforcer
from gateway.policy.index import Index
from gateway.policy.rules import Action, Rule
from gateway.policy.terms import compile_terms
from gateway.policy.where import Condition
from gateway.terms import NO_CEILINGS, NO_TERMS, Ceilings, Gate, Terms

K = TypeVar("K")
V = TypeVar("V")

MAX_MATCHES = 10_000
MAX_HOLDING = 256
MAX_NAME = 512
"""Names and arguments come from requests: what is remembered about them is bounded."""

MAX_TEXT = 600

HIDDEN = "You have no tool, resource or prompt of this name. Use the ones you are listed."
ADVICE = "Change the arguments to fit, or leave this call out and say that it is beyond what you are allowed."
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decision:
    """Casbin's verdict, the rule that made it (None: no rule did), and for a refusal a text for the model.

    `bind` is what the gateway fills in, as the rule has it. `shadow` is the rule in shadow that would turn the
    verdict round, None when none would.
    """

    allowed: bool
    rule: str | None
    text: str
    bind: Mapping[str, Any] = field(default_factory=dict)
    shadow: str | None = None
    terms: Terms = NO_TERMS
    """What the rule asks of a call that it allows."""


NOWHERE = Decision(False, None, HIDDEN)
"""What no rule speaks of is refused: there is nothing to ask Casbin."""


@dataclass(frozen=True, slots=True)
class Match:
    """The rules that match an object, in file order. All objects that the same rules match share one."""

    enforcer: Enforcer
    example: tuple[str, str, Action]
    """Server, name and action of one such object: what Casbin says of it, it says of all."""
    rules: tuple[Rule, ...]
    conditions: tuple[Condition, ...]
    """Of those rules that have one."""
    terms: Mapping[str, Terms]
    """By rule, of those that ask for something."""
    decisions: dict[frozenset[str], Decision] = field(default_factory=dict)
    """By the conditions that hold. Text "" leaves it to `decide` to explain."""

    def allows(self) -> list[Rule]:
        """The allow rules in force."""
        return [rule for rule in self.rules if rule.effect == "allow" and not rule.shadow]

    def visible(self) -> bool:
        """Whether some arguments could be allowed: as if every allow held, and no deny but those without condition."""
        return self._decided(self._listed()).allowed

    def gates(self) -> list[Gate]:
        """Of the allow rules in force, those that have one."""
        asked = [self.terms[rule.id].gate for rule in self.allows() if rule.id in self.terms]
        return [gate for gate in asked if gate is not None]

    def decide(self, arguments: Mapping[str, Any]) -> Decision:
        holding = frozenset([each.rule for each in self.conditions if each.holds(arguments)])
        decision = self._decided(holding)
        if decision.allowed or decision.text:
            return decision
        return replace(decision, text=self._explain(decision.rule, arguments))

    def _listed(self) -> frozenset[str]:
        return frozenset(each.rule for each in self.conditions if each.effect == "allow")

    def _decided(self, holding: frozenset[str]) -> Decision:
        """Casbin's decision, asked for once for each set of conditions that hold."""
        known = self.decisions.get(holding)
        if known is not None:
            return known
        allowed, rule = self._ask([rule for rule in self.rules if not rule.shadow], holding)
        visible = allowed or (holding != (listed := self._listed()) and self._decided(listed).allowed)
        bind = next((each.bind for each in self.rules if each.id == rule), None) if allowed else None
        shadow = self._shadow(allowed, holding)
        if len(self.decisions) >= MAX_HOLDING:
            self.decisions.clear()
        terms = self.terms.get(rule, NO_TERMS) if allowed and rule is not None else NO_TERMS
        decision = Decision(allowed, rule, "" if visible else HIDDEN, bind or NOTHING, shadow, terms)
        self.decisions[holding] = decision
        return decision

    def _shadow(self, allowed: bool, holding: frozenset[str]) -> str | None:
        """The rule that would turn the decision round, were the rules in shadow in force."""
        if not any(rule.shadow for rule in self.rules):
            return None
        would, rule = self._ask(self.rules, holding)
        return rule if would is not allowed else None

    def _ask(self, rules: Sequence[Rule], holding: frozenset[str]) -> tuple[bool, str | None]:
        conditional = {each.rule for each in self.conditions}
        free = frozenset(rule.id for rule in rules if rule.id not in conditional)
        return self.enforcer.enforce(rules, *self.example, free | holding) if rules else (False, None)

    def _explain(self, rule: str | None, arguments: Mapping[str, Any]) -> str:
        """Why an agent that may use this tool may not use it with these arguments."""
        if rule is not None:
            names = ", ".join(next(each.names for each in self.conditions if each.rule == rule))
            why = f"a rule forbids it for the values given, or left out, for: {names}"
        else:
            allows = {each.id for each in self.allows()}
            whys = [each.failures(arguments) for each in self.conditions if each.rule in allows]
            why = "; or ".join(dict.fromkeys(whys))
        return f"Policy does not allow this call with these arguments: {why[:MAX_TEXT]}. {ADVICE}"


class Grant:
    """Everything one agent may do: its own rules and those of its roles, in file order, compiled.

    `conditions` are those of the rules that have one, by rule id. `digest` is of all of it (SHA-256, hex).
    """

    def __init__(
        self,
        rules: tuple[Rule, ...],
        conditions: Mapping[str, Condition],
        enforcer: Enforcer,
        ceilings: Ceilings = NO_CEILINGS,
        digest: str = "",
    ) -> None:
        self.rules = rules
        self.conditions = conditions
        self.ceilings = ceilings
        self.digest = digest
        compiled = {rule.id: compile_terms(rule) for rule in rules}
        self.terms = {rule: terms for rule, terms in compiled.items() if terms is not NO_TERMS}
        self._enforcer = enforcer
        self._index = Index(rules)
        self._matches: dict[tuple[int, ...], Match] = {}

    def match(self, server: str, name: str, action: Action) -> Match | None:
        """The rules that speak of an object; None when none does."""
        places = self._index.find(server, name, action)
        if not places:
            return None
        match = self._matches.get(places)
        if match is None:
            rules = tuple(self.rules[place] for place in places)
            conditions = tuple(self.conditions[rule.id] for rule in rules if rule.id in self.conditions)
            terms = {rule.id: self.terms[rule.id] for rule in rules if rule.id in self.terms}
            match = Match(self._enforcer, (server, name, action), rules, conditions, terms)
            if len(server) + len(name) <= MAX_NAME:
                keep(self._matches, places, match)
        return match


def keep(remembered: dict[K, V], key: K, value: V) -> None:
    """Remember one more; when there are too many, all others are forgotten."""
    if len(remembered) >= MAX_MATCHES:
        remembered.clear()
    remembered[key] = value
