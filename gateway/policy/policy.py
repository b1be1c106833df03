"""The policy of all agents as one immutable value, and the decisions it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Problem
from gateway.policy.grant import MAX_NAME, NOTHING, NOWHERE, Decision, Grant, Match, keep
from gateway.policy.narrow import narrow
from gateway.policy.rules import Action, Rule, seg
from gateway.terms import NO_CEILINGS, Ceilings, Gate

_Key = tuple[str, str, str, Action]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may do what. Immutable; threads may share it; swapped whole when files change.

    `digest` is the SHA-256 (hex) over the model and the normalised rules. `warnings` do not stop a load.
    """

    grants: Mapping[str, Grant] = field(repr=False)
    digest: str
    warnings: tuple[Problem, ...] = ()
    _matches: dict[_Key, Match | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _reached: dict[tuple[str, str], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def agents(self) -> frozenset[str]:
        return frozenset(self.grants)

    def rules(self, agent: str) -> list[Rule]:
        """The agent's own rules, then those of its roles, in shadow or not. Empty for an agent without a file."""
        grant = self.grants.get(agent)
        return list(grant.rules) if grant else []

    def reaches(self, agent: str, server: str) -> bool:
        """Whether some allow rule of `agent` names anything on `server`, a configured one."""
        known = self._reached.get((agent, server))
        if known is None:
            rules = self.grants[agent].rules if agent in self.grants else ()
            known = any(rule.effect == "allow" and not rule.shadow and seg(server, rule.server) for rule in rules)
            self._reached[agent, server] = known
        return known

    def ceilings(self, agent: str) -> Ceilings:
        """What the agent's file says for all that it does."""
        grant = self.grants.get(agent)
        return NO_CEILINGS if grant is None else grant.ceilings

    def digest_of(self, agent: str) -> str:
        """Digest of all that this agent may do, its roles included; empty for an agent without a file."""
        grant = self.grants.get(agent)
        return "" if grant is None else grant.digest

    def gates(self, agent: str, server: str, tool: str) -> list[Gate]:
        """The gates of the rules that allow this tool, whatever the arguments."""
        match = self._match(agent, server, tool, "call")
        return [] if match is None else match.gates()

    def decide(
        self, agent: str, server: str, name: str, action: Action, arguments: Mapping[str, Any] | None = None
    ) -> Decision:
        """Whether `agent` may do this with these arguments. No arguments means empty ones, never any."""
        match = self._match(agent, server, name, action)
        if match is None:
            return NOWHERE
        return match.decide(arguments if type(arguments) is dict else dict(arguments or {}))

    def visible(self, agent: str, server: str, name: str, action: Action) -> bool:
        """Whether `agent` may know of this: an allow rule matches, and no deny rule without `where` does."""
        match = self._match(agent, server, name, action)
        return match is not None and match.visible()

    def narrow(self, agent: str, server: str, tool: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The tool's input schema as this agent may see it; accepts nothing when it may not see the tool."""
        match = self._match(agent, server, tool, "call")
        if match is None or not match.visible():
            return {"type": "object", "not": {}}
        allows = match.allows()
        return narrow(schema, [rule.where or NOTHING for rule in allows], [rule.bind or NOTHING for rule in allows])

    def _match(self, agent: str, server: str, name: str, action: Action) -> Match | None:
        key = (agent, server, name, action)
        try:
            return self._matches[key]
        except KeyError:
            grant = self.grants.get(agent) if _is_name(server) and _is_name(name) else None
            match = grant.match(server, name, action) if grant is not None else None
        if len(server) + len(name) <= MAX_NAME:
            keep(self._matches, key, match)
        return match


def _is_name(text: str) -> bool:
    """A name a server could have: what holds line ends or invisible characters only looks like one."""
    return bool(text) and text.isprintable()
