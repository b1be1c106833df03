"""The names in rules against what servers really offer: tools, and their arguments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from gateway.policy.policy import Policy
from gateway.policy.rules import CURRENCY, Rule, nearest, seg

Offered = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Server to tool to input schema, of the servers that are up. What is down is not in it, and not judged."""


def check_names(policy: Policy, tools: Offered) -> list[Problem]:
    """Rules that name one tool, or an argument of it, that the server does not offer. Globs name no one tool."""
    return [problem for rule in _tool_rules(policy) for problem in _exact(rule, tools.get(rule.server))]


def idle_globs(policy: Policy, tools: Offered) -> list[Problem]:
    """Rules whose glob matches no tool of the servers that are up: no mistake for certain, but they do nothing."""
    return [_idle(rule) for rule in _tool_rules(policy) if _is_glob(rule) and not _matches(rule, tools)]


def unchecked(policy: Policy, down: Collection[str]) -> list[Problem]:
    """One warning for each server that rules name and that is down."""
    first: dict[str, Rule] = {}
    for rule in _tool_rules(policy):
        if rule.server in down:
            first.setdefault(rule.server, rule)
    fix = "start it, then check again"
    return [
        _problem(rule, f'the names on "{server}" cannot be checked while it is down', fix)
        for server, rule in first.items()
    ]


def _tool_rules(policy: Policy) -> Iterator[Rule]:
    """Every rule about tools once, though several agents may have its role."""
    rules = {rule.id: rule for agent in sorted(policy.agents) for rule in policy.rules(agent)}
    return (rule for rule in rules.values() if rule.action == "call")


def _exact(rule: Rule, tools: Mapping[str, Mapping[str, Any]] | None) -> Iterator[Problem]:
    if tools is None or rule.name[-1] == "*":
        return
    schema = tools.get(rule.name)
    if schema is None:
        message = f'names the tool "{rule.name}", which its server does not offer'
        yield _problem(rule, message, nearest(rule.name, tools), "tool")
        return
    for key, name in _named(rule):
        if not _takes(schema, name):
            message = f'names the argument "{name}", which the tool does not have'
            yield _problem(rule, message, nearest(name, schema["properties"]), key)


def _named(rule: Rule) -> Iterator[tuple[str, str]]:
    """Where in the rule an argument is named, and the argument."""
    for key, names in (("where", rule.where), ("bind", rule.bind), ("gate.when", (rule.gate or {}).get("when"))):
        yield from ((f"{key}.{name}", name) for name in names or ())
    for index, budget in enumerate(rule.budget or ()):
        yield f"budget[{index}].sum", budget["sum"]
        if "currency" in budget and not CURRENCY.fullmatch(budget["currency"]):
            yield f"budget[{index}].currency", budget["currency"]


def _takes(schema: Mapping[str, Any], name: str) -> bool:
    """Whether a tool may take an argument of this name: its schema says so, or leaves it open on purpose."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or name in properties:
        return True
    return bool(schema.get("additionalProperties", False)) or bool(schema.keys() & {"patternProperties", "$ref"})


def _is_glob(rule: Rule) -> bool:
    return rule.server[-1] == "*" or rule.name[-1] == "*"


def _matches(rule: Rule, tools: Offered) -> bool:
    """Whether some tool matches. True as well when no server that is up is meant: then nobody can tell."""
    meant = [offered for server, offered in tools.items() if seg(server, rule.server)]
    return not meant or any(seg(name, rule.name) for offered in meant for name in offered)


def _idle(rule: Rule) -> Problem:
    message = f'"{rule.server}/{rule.name}" matches no tool of the servers that are up'
    return _problem(rule, message, "correct it, or leave it if it is meant for tools to come", "tool")


def _problem(rule: Rule, message: str, fix: str, key: str = "tool") -> Problem:
    file, _, place = rule.id.partition(":")
    return Problem(rule.place or file, f"{place}.{key}", message, fix)
