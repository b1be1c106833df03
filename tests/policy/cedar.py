"""Rules of ours in Cedar, another policy language with an engine of its own: a translation that shares no code.

A Cedar policy that meets a value of another type is skipped, which is strict for a permit and the opposite of
lenient for a forbid. So arguments come as records that say their kind, and every comparison asks for it first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cedarpy import Decision, PolicySet, is_authorized_batch

Rules = Sequence[tuple[str, Mapping[str, Any]]]
Request = tuple[str, str, str, str, Mapping[str, Any]]
"""Agent, server, name, action, arguments."""

_ACTIONS = {"tool": "call", "resource": "read", "prompt": "get"}


def translate(agents: Mapping[str, Rules], roles: Mapping[str, Rules]) -> PolicySet:
    """Cedar policies of agents' own rules and of those of roles."""
    written = [_policy(f'principal == Agent::"{agent}"', *rule) for agent, rules in agents.items() for rule in rules]
    written += [_policy(f'principal in Role::"{role}"', *rule) for role, rules in roles.items() for rule in rules]
    return PolicySet.from_str("\n".join(written))


def members(agents: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The Cedar entities of agents that have these roles."""
    return [
        {
            "uid": {"type": "Agent", "id": agent},
            "attrs": {},
            "parents": [{"type": "Role", "id": role} for role in roles],
        }
        for agent, roles in agents.items()
    ]


def allowed(policies: PolicySet, entities: Any, requests: Sequence[Request]) -> list[bool]:
    answers = is_authorized_batch([_request(*request) for request in requests], policies, entities)
    assert not any(answer.diagnostics.errors for answer in answers)
    return [answer.decision is Decision.Allow for answer in answers]


def _request(agent: str, server: str, name: str, action: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    given = {argument: _value(value) for argument, value in arguments.items()}
    return {
        "principal": {"type": "Agent", "id": agent},
        "action": {"type": "Action", "id": action},
        "resource": {"type": "Server", "id": server},
        "context": {"server": server, "name": name, "given": given},
    }


def _value(value: Any) -> dict[str, Any]:
    """Numbers in tenths, for Cedar has whole ones only."""
    if isinstance(value, bool):
        return {"kind": "boolean"}
    if isinstance(value, int | float):
        return {"kind": "number", "tenths": round(value * 10)}
    return {"kind": "string", "text": value} if isinstance(value, str) else {"kind": "other"}


def _policy(principal: str, effect: str, rule: Mapping[str, Any]) -> str:
    kind = next(kind for kind in _ACTIONS if kind in rule)
    server, _, name = rule[kind].partition("/")
    tests = [f'context.server like "{server}"', f'context.name like "{name}"']
    for argument, condition in rule.get("where", {}).items():
        tests.append((_strict if effect == "allow" else _lenient)(argument, condition))
    tests += [f"!(context.given has {argument})" for argument in rule.get("bind", {})]
    word = {"allow": "permit", "deny": "forbid"}[effect]
    when = " && ".join(f"({test})" for test in tests)
    return f'{word}({principal}, action == Action::"{_ACTIONS[kind]}", resource) when {{ {when} }};'


def _strict(argument: str, condition: Mapping[str, Any]) -> str:
    """Given, of the right kind, and fitting."""
    kind, test = _test(argument, condition)
    return f'context.given has {argument} && context.given.{argument}.kind == "{kind}" && {test}'


def _lenient(argument: str, condition: Mapping[str, Any]) -> str:
    """Left out, or of another kind, or fitting."""
    kind, test = _test(argument, condition)
    return f'!(context.given has {argument}) || context.given.{argument}.kind != "{kind}" || {test}'


def _test(argument: str, condition: Mapping[str, Any]) -> tuple[str, str]:
    """The kind of value a condition speaks of, and what it asks of one."""
    ((keyword, value),) = condition.items()
    tenths, text = f"context.given.{argument}.tenths", f"context.given.{argument}.text"
    if keyword == "enum":
        return "string", f"{json.dumps(value)}.contains({text})"
    if keyword == "not":
        return "string", f"!({json.dumps(value['enum'])}.contains({text}))"
    if keyword == "pattern":
        return "string", f'{text} like "{value[1:]}*"'
    sign = {"maximum": "<=", "minimum": ">=", "exclusiveMaximum": "<", "exclusiveMinimum": ">"}[keyword]
    return "number", f"{tenths} {sign} {value * 10}"
