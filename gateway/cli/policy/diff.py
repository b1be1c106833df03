"""`toolgate policy diff`: every decision that changes between two policy folders. Status as of `diff`: 0, 1, 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway import policy
from gateway.cli.output import show_json, table
from gateway.cli.policy.opened import near, offered, server_names
from gateway.errors import ConfigError, Problem
from gateway.policy import Policy
from gateway.policy.differences import Change, Differences, differences, words
from gateway.policy.explain import compact
from gateway.policy.objects import Object
from gateway.policy.verdict import Verdict

TROUBLE = 2
_CUT = 160


def run(arguments: argparse.Namespace) -> int:
    """0 when all is decided alike, 1 when something is not, 2 when a folder cannot be loaded."""
    try:
        servers = server_names(arguments.config)
        old, new = _load(arguments.old, arguments.new, servers)
        tools, reached = offered(arguments.config) if arguments.connect else ({}, True)
    except ConfigError as error:
        for problem in error.problems:
            print(" ".join(str(problem).split()), file=sys.stderr)
        return TROUBLE
    found = differences(old, new, servers, tools)
    if arguments.json:
        show_json(_shape(found))
    else:
        print("\n\n".join(_report(found, near(arguments.old), near(arguments.new))))
    return TROUBLE if not reached else 1 if found else 0


def _load(old: Path, new: Path, servers: Sequence[str]) -> tuple[Policy, Policy]:
    """Both folders. Raises ConfigError with the problems of both."""
    loaded: list[Policy] = []
    problems: list[Problem] = []
    for folder in (old, new):
        try:
            loaded.append(policy.load(near(folder), servers))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return loaded[0], loaded[1]


def _report(found: Differences, old: Path, new: Path) -> Iterator[str]:
    for changes in _groups(found.changes):
        before, after = changes[0].before, changes[0].after
        rows = [
            (each.agent, _object(each.object), _place(each.before, old), _place(each.after, new), _example(each))
            for each in changes
        ]
        header = ("AGENT", "OBJECT", "BY, BEFORE", "BY, NOW", "ARGUMENTS")
        yield f"{words(before)} -> {words(after)}\n{_indented(table(header, rows))}"
    if found.unshown:
        head = "conditions differ here, but every call that was tried is decided alike:"
        unshown = [(agent, _object(each)) for agent, each in found.unshown]
        yield f"{head}\n{_indented(table(('AGENT', 'OBJECT'), unshown))}"
    for names, what in ((found.appeared, "new agents"), (found.vanished, "agents gone")):
        if names:
            yield f"{what}: {', '.join(names)}"
    if found.changes:
        agents = len({change.agent for change in found.changes})
        objects = len({(change.agent, change.object) for change in found.changes})
        yield f"{_number(objects, 'object')} decided otherwise, for {_number(agents, 'agent')}"
    elif not found:
        yield "Nothing is decided otherwise."


def _number(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else f'{noun}s'}"


def _groups(changes: Sequence[Change]) -> list[list[Change]]:
    """Changes from the same to the same."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        groups.setdefault((words(change.before), words(change.after)), []).append(change)
    return list(groups.values())


def _object(each: Object) -> str:
    return each.target if each.action == "call" else f"{each.action} {each.target}"


def _place(verdict: Verdict, folder: Path) -> str:
    """File and line in the folder of the rule that decides."""
    return verdict.rule.place.removeprefix(f"{folder}{os.sep}") if verdict.rule else "no rule"


def _example(change: Change) -> str:
    if change.always or change.object.action != "call":
        return "any"
    return f"such as {compact(dict(change.example), _CUT)}" if change.example else "such as none"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _shape(found: Differences) -> dict[str, Any]:
    return {
        "appeared": list(found.appeared),
        "vanished": list(found.vanished),
        "changes": [
            {
                "agent": change.agent,
                "action": change.object.action,
                "object": change.object.target,
                "arguments": None if change.always else dict(change.example),
                "from": _verdict(change.before),
                "to": _verdict(change.after),
            }
            for change in found.changes
        ],
        "unshown": [{"agent": agent, "action": each.action, "object": each.target} for agent, each in found.unshown],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    rule = verdict.rule
    return {
        "decision": verdict.outcome,
        "reason": verdict.reason or None,
        "rule": rule.id if rule else None,
        "place": rule.place if rule else None,
    }
