"""`toolgate policy explain`: the decision on one call, the rule that makes it, and why the others do not."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.cli.argument_types import as_json, assignments
from gateway.cli.output import show_json, table
from gateway.cli.policy.opened import check_agent, opened
from gateway.policy.explain import Explanation, Step, compact, explain, role, target, terms
from gateway.policy.verdict import Request

_WHY = {
    "not_found": "hidden: answered as if it did not exist",
    "denied": "visible, but not with these arguments",
}


def run(arguments: argparse.Namespace) -> int:
    """Status 0 whatever the decision is: it was told."""
    at = opened(arguments.config)
    check_agent(at, arguments.agent)
    try:
        server, name = _object(arguments.target, at.servers)
        given = _arguments(arguments.arguments)
        if given and arguments.action != "call":
            raise ValueError(f"to {arguments.action} takes no arguments here: policy has no conditions on them")
    except ValueError as error:
        print(f"toolgate policy explain: {error}", file=sys.stderr)
        return 2
    explanation = explain(at.policy, Request(arguments.agent, arguments.action, server, name, given))
    if arguments.json:
        show_json(_shape(explanation))
    else:
        print("\n\n".join([*_report(explanation), *_hints(arguments.arguments, explanation)]))
    return 0


def _report(explanation: Explanation) -> Iterator[str]:
    request, verdict = explanation.request, explanation.verdict
    facts = [
        ("agent", request.agent),
        (request.action, request.target),
        ("with", compact(dict(request.arguments), 300) if request.arguments else "no arguments"),
        ("decision", verdict.outcome + (f" ({_WHY[verdict.reason]})" if verdict.reason else "")),
    ]
    if verdict.rule is not None:
        through = role(verdict.rule)
        origin = f"through role {through}" if through else "its own rule"
        facts += [("rule", f"{verdict.rule.id}, {origin}"), ("place", verdict.rule.place)]
        facts += [(name, compact(value, 300)) for name, value in terms(verdict.rule).items()]
    if verdict.shadow is not None:
        facts.append(("shadow", f"{verdict.shadow} would turn this round, were it in force"))
    yield "\n".join(f"{name:9} {text}" for name, text in facts)
    if explanation.steps:
        rows = [_row(step) for step in explanation.steps]
        yield table(("RULE", "EFFECT", "OBJECT", "PLACE", "HOLDS", "BECAUSE"), rows)
    else:
        near = f" Like it: {', '.join(explanation.near)}." if explanation.near else ""
        yield f"No rule of {request.agent} speaks of {request.target}, and what no rule allows is denied.{near}"


def _row(step: Step) -> tuple[str, ...]:
    rule = step.rule
    because = step.failed or ("its conditions are met" if rule.where or rule.bind else "it has no conditions")
    effect = f"{rule.effect}, in shadow" if rule.shadow else rule.effect
    return rule.id, effect, target(rule), rule.place, "yes" if step.holds else "no", because


def _hints(given: Sequence[str], explanation: Explanation) -> Iterator[str]:
    """A number typed as NAME=5 is text, and conditions on numbers do not take it."""
    if explanation.verdict.outcome == "deny":
        for each in given:
            if match := re.fullmatch(r"(\w+)=(-?[0-9.]+|true|false)", each):
                yield f"Note: {match[1]} is text here; write {match[1]}:={match[2]} if it is not meant to be."


def _object(text: str, servers: Sequence[str]) -> tuple[str, str]:
    """Server and name of `server/name`, or of `server__name` as agents see it. Raises ValueError."""
    server, slash, name = text.partition("/")
    if not slash:
        server, _, name = text.partition("__")
    if not server or not name:
        raise ValueError(f'"{text}" is not "server/name"')
    if server not in servers:
        raise ValueError(f"there is no server {server}; use one of: {', '.join(servers)}")
    return server, name


def _arguments(given: Sequence[str]) -> dict[str, Any]:
    """Of one JSON object, or of NAME=TEXT and NAME:=JSON. Raises ValueError."""
    if len(given) == 1 and given[0].lstrip().startswith("{"):
        parsed = as_json(given[0])
        if not isinstance(parsed, dict):
            raise ValueError("the arguments are not a JSON object")
        return parsed
    return assignments(given)


def _shape(explanation: Explanation) -> dict[str, Any]:
    request, verdict = explanation.request, explanation.verdict
    return {
        "agent": request.agent,
        "action": request.action,
        "object": request.target,
        "arguments": dict(request.arguments),
        "decision": verdict.outcome,
        "reason": verdict.reason or None,
        "rule": verdict.rule.id if verdict.rule else None,
        "place": verdict.rule.place if verdict.rule else None,
        "role": role(verdict.rule) if verdict.rule else None,
        "shadow": verdict.shadow,
        "terms": terms(verdict.rule) if verdict.rule else {},
        "rules": [_step(step) for step in explanation.steps],
        "near": list(explanation.near),
    }


def _step(step: Step) -> dict[str, Any]:
    rule = step.rule
    return {
        "rule": rule.id,
        "place": rule.place,
        "effect": rule.effect,
        "object": target(rule),
        "role": role(rule),
        "shadow": rule.shadow,
        "holds": step.holds,
        "failed": step.failed or None,
    }
