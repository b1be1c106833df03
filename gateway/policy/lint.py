"""What goes wrong with policies in practice, though they load: warnings, each with place, reason and fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import Problem
from gateway.policy.contradiction import contradiction
from gateway.policy.explain import terms
from gateway.policy.idle import denied, doubled
from gateway.policy.policy import Policy
from gateway.policy.rules import Rule

Tools = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Definitions of tools by name, by server."""

MAX_TOOLS = 12
"""Models choose worse among more tools than they need."""

MAX_PUBLISHED = 64
"""The Messages API takes no longer tool names."""


def lint(policy: Policy) -> list[Problem]:
    """Warnings that follow from the rules alone."""
    return sorted([*_impossible(policy), *_idle(policy, denied, _DENIED), *_idle(policy, doubled, _DOUBLED)])


def lint_tools(policy: Policy, tools: Tools) -> list[Problem]:
    """Warnings that follow from what the servers offer."""
    return sorted([*_crowded(policy, tools), *_destructive(policy, tools), *_long_names(policy, tools)])


def _impossible(policy: Policy) -> Iterator[Problem]:
    for rule in all_rules(policy):
        for name, schema in (rule.where or {}).items():
            if why := contradiction(schema):
                message = f"no value of {name} can ever fit: {why}"
                yield at_rule(rule, "where." + name, message, "correct the condition, or remove the rule")


Idle = Callable[[Sequence[Rule]], Iterator[tuple[Rule, Rule]]]


def _idle(policy: Policy, find: Idle, words: tuple[str, str]) -> Iterator[Problem]:
    """What `find` tells of all agents. A rule of a role has to be idle for every agent that has it."""
    held: Counter[str] = Counter()
    found: dict[str, list[tuple[Rule, Rule]]] = {}
    for agent in sorted(policy.agents):
        rules = [rule for rule in policy.rules(agent) if not rule.shadow]
        held.update(rule.id for rule in rules)
        for rule, other in {rule.id: (rule, other) for rule, other in find(rules)}.values():
            found.setdefault(rule.id, []).append((rule, other))
    message, fix = words
    for name, pairs in found.items():
        if len(pairs) == held[name]:
            rule, other = pairs[0]
            yield at_rule(rule, "", message.format(f"{other.id} ({other.place})"), fix)


_DENIED = (
    "allows only what {} denies, and a deny overrides every allow",
    "remove one of the two, or give the deny a narrower name or a `where`",
)
_DOUBLED = (
    "never decides anything, for {} covers it",
    "remove it, or make the other one narrower",
)


def _crowded(policy: Policy, tools: Tools) -> Iterator[Problem]:
    for agent in sorted(policy.agents):
        seen = [(server, tool) for server in tools for tool in tools[server] if _sees(policy, agent, server, tool)]
        if len(seen) > MAX_TOOLS:
            widest = max(allows(policy, agent), key=lambda rule: sum(rule.matches(*each, "call") for each in seen))
            message = f"agent {agent} sees {len(seen)} tools; models choose worse among more than {MAX_TOOLS}"
            yield at_rule(widest, "", message, "name the tools it needs, or split the agent's job")


def _destructive(policy: Policy, tools: Tools) -> Iterator[Problem]:
    """A role's rule is told of once for each tool."""
    found: dict[tuple[str, str, str], Problem] = {}
    for agent in sorted(policy.agents):
        for server, offered in tools.items():
            for tool, definition in offered.items():
                if not _destroys(definition) or not _sees(policy, agent, server, tool):
                    continue
                for rule in allows(policy, agent):
                    if rule.matches(server, tool, "call") and not terms(rule).keys() & {"gate", "limit", "budget"}:
                        message = f"allows {server}/{tool}, which its server calls destructive, without gate or limit"
                        problem = at_rule(rule, "", message, "gate or limit it in a rule of its own, or deny it")
                        found[rule.id, server, tool] = problem
    yield from found.values()


def _long_names(policy: Policy, tools: Tools) -> Iterator[Problem]:
    for server, offered in tools.items():
        for tool in offered:
            published = f"{server}__{tool}"
            agents = [agent for agent in sorted(policy.agents) if _sees(policy, agent, server, tool)]
            if len(published) > MAX_PUBLISHED and agents:
                rule = next(rule for rule in allows(policy, agents[0]) if rule.matches(server, tool, "call"))
                message = (
                    f"publishes {published}: {len(published)} characters, and model APIs take {MAX_PUBLISHED} at most"
                )
                yield at_rule(rule, "", message, f"give the server a shorter name, or use it at /mcp/{server} alone")


def _destroys(definition: Mapping[str, Any]) -> bool:
    """Said by the server, so good for a warning and never for a decision."""
    hints = definition.get("annotations")
    return isinstance(hints, dict) and hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True


def _sees(policy: Policy, agent: str, server: str, tool: str) -> bool:
    return policy.visible(agent, server, tool, "call")


def allows(policy: Policy, agent: str) -> list[Rule]:
    return [rule for rule in policy.rules(agent) if rule.effect == "allow" and not rule.shadow]


def all_rules(policy: Policy) -> list[Rule]:
    rules = {rule.id: rule for agent in sorted(policy.agents) for rule in policy.rules(agent)}
    return list(rules.values())


def at_rule(rule: Rule, step: str, message: str, fix: str) -> Problem:
    key = rule.id.partition(":")[2]
    return Problem(rule.place, f"{key}.{step}" if step else key, message, fix)
