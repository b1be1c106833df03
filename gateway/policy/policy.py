"""The policy of all agents as one immutable value, and the decisions it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Problem
from gateway.policy.enforcer import Enforcer
from gateway.policy.narrow import narrow
from gateway.policy.rules import Action, Rule, seg
from gateway.policy.where import Condition

MAX_MATCHES = 10_000
MAX_HOLDING = 256
MAX_NAME = 512
"""Names and arguments come from requests: what is remembered about them is bounded."""

MAX_TEXT = 600

HIDDEN = "You have no tool, resource or prompt of this name. Use the ones you are listed."
ADVICE = "Change the arguments to fit, or leave this call out and say that it is beyond what you are allowed."


@dataclass(frozen=True, slots=True)
class Decision:
    """Casbin's verdict, the rule that made it (None: no rule did), and for a refusal a text for the model."""

    allowed: bool
    rule: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Everything one agent may do: its own rules and those of its roles, in file order, compiled."""

    rules: tuple[Rule, ...]
    conditions: Mapping[str, Condition]
    enforcer: Enforcer

    @property
    def unconditional(self) -> frozenset[str]:
        return frozenset(rule.id for rule in self.rules if rule.where is None)


@dataclass(frozen=True, slots=True)
class _Match:
    """One agent, object and action: the conditions that matter to it, and Casbin's verdicts so far."""

    conditions: tuple[Condition, ...]
    verdicts: dict[frozenset[str], Decision] = field(default_factory=dict)

    def listed(self) -> frozenset[str]:
        """The conditions that hold when arguments are not known yet: every allow, no deny."""
        return frozenset(each.rule for each in self.conditions if each.effect == "allow")


_Key = tuple[str, str, str, Action]
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what. Immutable; threads may share it; swapped whole when files change.

    `digest` is the SHA-256 (hex) over the model and the normalised rules. `warnings` do not stop a load.
    """

    grants: Mapping[str, Grant] = field(repr=False)
    digest: str
    warnings: tuple[Problem, ...] = ()
    _matches: dict[_Key, _Match] = field(default_factory=dict, init=False, repr=False, compare=False)
    _reached: dict[tuple[str, str], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def agents(self) -> frozenset[str]:
        return frozenset(self.grants)

    def rules(self, agent: str) -> list[Rule]:
        """The agent's own rules, then those of its roles. Empty for an agent without a policy file."""
        grant = self.grants.get(agent)
        return list(grant.rules) if grant else []

    def reaches(self, agent: str, server: str) -> bool:
        """Whether some allow rule of `agent` names anything on `server`, a configured one."""
        known = self._reached.get((agent, server))
        if known is None:
            rules = self.grants[agent].rules if agent in self.grants else ()
            known = any(rule.effect == "allow" and seg(server, rule.server) for rule in rules)
            self._reached[agent, server] = known
        return known

    def decide(
        self, agent: str, server: str, name: str, action: Action, arguments: Mapping[str, Any] | None = None
    ) -> Decision:
        """Whether `agent` may do this with these arguments. No arguments means empty ones, never any."""
        key = (agent, server, name, action)
        match = self._matches.get(key) or self._match(key)
        if not match.conditions:
            return match.verdicts.get(_NOTHING) or self._verdict(key, match, _NOTHING)
        given = arguments if type(arguments) is dict else dict(arguments or {})
        holding = frozenset([each.rule for each in match.conditions if each.holds(given)])
        decision = match.verdicts.get(holding) or self._verdict(key, match, holding)
        if decision.allowed or decision.text:
            return decision
        return Decision(False, decision.rule, _explain(match, decision.rule, given))

    def visible(self, agent: str, server: str, name: str, action: Action) -> bool:
        """Whether `agent` may know of this: an allow rule matches, and no deny rule without `where` does."""
        key = (agent, server, name, action)
        match = self._matches.get(key) or self._match(key)
        listed = match.listed()
        return (match.verdicts.get(listed) or self._verdict(key, match, listed)).allowed

    def narrow(self, agent: str, server: str, tool: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The tool's input schema as this agent may see it; accepts nothing when it may not see the tool."""
        if not self.visible(agent, server, tool, "call"):
            return {"type": "object", "not": {}}
        allows = [rule for rule in self.rules(agent) if rule.effect == "allow" and rule.matches(server, tool, "call")]
        wheres = [rule.where for rule in allows if rule.where is not None]
        return narrow(schema, wheres) if len(wheres) == len(allows) else dict(schema)

    def _match(self, key: _Key) -> _Match:
        agent, server, name, action = key
        conditions = tuple(
            self.grants[agent].conditions[rule.id]
            for rule in self.rules(agent)
            if rule.where is not None and rule.matches(server, name, action)
        )
        match = _Match(conditions)
        if len(server) + len(name) <= MAX_NAME:
            if len(self._matches) >= MAX_MATCHES:
                self._matches.clear()
            self._matches[key] = match
        return match

    def _verdict(self, key: _Key, match: _Match, holding: frozenset[str]) -> Decision:
        """Ask Casbin, once for each set of conditions that hold. Text "" leaves it to `decide` to explain."""
        agent, server, name, action = key
        grant = self.grants.get(agent)
        if grant is None or not _is_name(server) or not _is_name(name):
            return Decision(False, None, HIDDEN)
        allowed, rule = grant.enforcer.enforce(server, name, action, grant.unconditional | holding)
        visible = allowed or (holding != match.listed() and self.visible(agent, server, name, action))
        decision = Decision(allowed, rule, "" if visible else HIDDEN)
        if len(match.verdicts) >= MAX_HOLDING:
            match.verdicts.clear()
        match.verdicts[holding] = decision
        return decision


def _is_name(text: str) -> bool:
    """A name a server could have: what holds line ends or invisible characters only looks like one."""
    return bool(text) and text.isprintable()


def _explain(match: _Match, rule: str | None, arguments: dict[str, Any]) -> str:
    """Why an agent that may use this tool may not use it with these arguments."""
    if rule is not None:
        names = ", ".join(next(each.names for each in match.conditions if each.rule == rule))
        why = f"a rule forbids it for the values given, or left out, for: {names}"
    else:
        allows = [each for each in match.conditions if each.effect == "allow"]
        why = "; or ".join(dict.fromkeys(each.failures(arguments) for each in allows))
    return f"Policy does not allow this call with these arguments: {why[:MAX_TEXT]}. {ADVICE}"
