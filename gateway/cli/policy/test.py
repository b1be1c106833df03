"""`toolgate policy test`: try the policy's own tests, and tell what none of them touches."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from gateway.cli.output import show_json, table
from gateway.cli.policy.opened import Opened, opened
from gateway.policy.explain import target
from gateway.policy.trials import Results, Tried, read, shown, trials


def run(arguments: argparse.Namespace) -> int:
    """1 when a test fails; with `--strict` also when a rule or an agent is in no test."""
    at = opened(arguments.config)
    results = trials(at.policy, read(at.policy, at.folder, at.servers))
    if arguments.json:
        show_json(_shape(results))
    else:
        print("\n\n".join(_report(at, results)))
    return 1 if results.failed or (arguments.strict and results.gaps) else 0


def _report(at: Opened, results: Results) -> Iterator[str]:
    for tried in results.failed:
        yield _failure(tried)
    if results.unhit:
        rows = [(rule.id, rule.effect, target(rule), rule.place) for rule in results.unhit]
        yield table(("NO TEST HITS", "EFFECT", "OBJECT", "PLACE"), rows)
    if results.untested:
        yield f"No test has: {', '.join(results.untested)}"
    failed, total = len(results.failed), len(results.tried)
    agents = len(at.policy.agents)
    facts = [
        ("tests", f"{total - failed} of {total} passed" + (f", {failed} FAILED" if failed else "")),
        ("rules", f"{results.rules - len(results.unhit)} of {results.rules} hit by a test"),
        ("agents", f"{agents - len(results.untested)} of {agents} tested"),
    ]
    yield "\n".join(f"{name:7} {text}" for name, text in facts)


def _failure(tried: Tried) -> str:
    trial = tried.trial
    lines = [f"FAILED  {trial.place}  {shown(trial.request)}"]
    if trial.why:
        lines.append(f"        why       {trial.why}")
    lines.append(f"        expected  {tried.expected}")
    lines.append(f"        decided   {tried.verdict}")
    return "\n".join(lines)


def _shape(results: Results) -> dict[str, Any]:
    return {
        "tests": [_tried(tried) for tried in results.tried],
        "failed": len(results.failed),
        "rules": results.rules,
        "unhit": [{"rule": rule.id, "place": rule.place} for rule in results.unhit],
        "untested": list(results.untested),
    }


def _tried(tried: Tried) -> dict[str, Any]:
    trial, verdict = tried.trial, tried.verdict
    return {
        "place": trial.place,
        "agent": trial.request.agent,
        "action": trial.request.action,
        "object": trial.request.target,
        "arguments": dict(trial.request.arguments),
        "why": trial.why or None,
        "expected": {"outcome": trial.expect, "rule": trial.rule or None},
        "decided": {
            "outcome": verdict.outcome,
            "reason": verdict.reason or None,
            "rule": verdict.rule.id if verdict.rule else None,
            "place": verdict.rule.place if verdict.rule else None,
        },
        "ok": tried.ok,
    }
