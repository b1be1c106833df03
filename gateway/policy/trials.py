"""The tests of a policy: a table of requests, each with what should become of it. `policies/tests.toml`."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.call import OWN
from gateway.errors import ConfigError, Problem
from gateway.policy.files import Document, Report, read_document
from gateway.policy.loader import TESTS
from gateway.policy.policy import Policy
from gateway.policy.rules import ACTIONS, Rule, nearest, target_fault
from gateway.policy.verdict import OUTCOMES, REASONS, Outcome, Request, Verdict, judge

KEYS = {"agent", *ACTIONS, "arguments", "claims", "expect", "rule", "why"}
MAX_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Trial:
    """One test. `rule` is the id of the rule expected to decide, or a reason of REASONS; empty: any."""

    place: str
    key: str
    request: Request
    expect: Outcome
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Tried:
    """A test and what was decided."""

    trial: Trial
    verdict: Verdict

    @property
    def ok(self) -> bool:
        """Whether both the outcome and, where one is named, the rule or reason are as expected."""
        trial, verdict = self.trial, self.verdict
        by = {verdict.source, verdict.reason} - {""}
        return verdict.outcome == trial.expect and (not trial.rule or trial.rule in by)

    @property
    def expected(self) -> str:
        trial = self.trial
        word = f" ({trial.rule})" if trial.rule in REASONS else f" by {trial.rule}" if trial.rule else ""
        return f"{trial.expect}{word}"


@dataclass(frozen=True, slots=True)
class Results:
    """All tests of a policy. `unhit` are the rules that decided none of them, `untested` the agents in none."""

    tried: tuple[Tried, ...]
    rules: int
    unhit: tuple[Rule, ...]
    untested: tuple[str, ...]

    @property
    def failed(self) -> tuple[Tried, ...]:
        return tuple(each for each in self.tried if not each.ok)

    @property
    def gaps(self) -> bool:
        return bool(self.unhit or self.untested)


def run(policy: Policy, folder: Path, servers: Collection[str] = ()) -> list[Problem]:
    """A problem for each test of `folder` that fails or cannot be read; none when it has no `tests.toml`.

    `servers` are the configured ones: where they are given, a test of another server is a problem.
    """
    if not os.path.lexists(folder / TESTS):
        return []
    try:
        results = trials(policy, read(policy, folder, servers))
    except ConfigError as error:
        return error.problems
    return [_problem(tried) for tried in results.failed]


def _problem(tried: Tried) -> Problem:
    trial = tried.trial
    message = f"expects {tried.expected} for {shown(trial.request)}; it is {tried.verdict}"
    fix = f"mend the rule, or the test; see toolgate policy explain {trial.request.agent} {trial.request.target}"
    return Problem(trial.place, trial.key, message, fix)


def trials(policy: Policy, table: Sequence[Trial]) -> Results:
    """Try all of `table` on `policy`."""
    tried = tuple(Tried(trial, judge(policy, trial.request)) for trial in table)
    rules = {rule.id: rule for agent in sorted(policy.agents) for rule in policy.rules(agent) if not rule.shadow}
    hit = {each.verdict.source for each in tried}
    tested = {trial.request.agent for trial in table}
    unhit = tuple(rule for rule in rules.values() if rule.id not in hit)
    return Results(tried, len(rules), unhit, tuple(sorted(policy.agents - tested)))


def read(policy: Policy, folder: Path, servers: Collection[str] = ()) -> list[Trial]:
    """The tests in the folder's `tests.toml`. Raises ConfigError with every problem found."""
    report = Report()
    document = read_document(folder / TESTS, folder, report)
    if document is not None:
        table = [*_Reader(document, policy, servers, report).trials()]
        if not report.problems:
            return table
    raise ConfigError(sorted(report.problems))


def shown(request: Request) -> str:
    """A request on one line: agent, object, arguments."""
    arguments = json.dumps(dict(request.arguments), ensure_ascii=False)
    short = arguments if len(arguments) <= MAX_SHOWN else f"{arguments[:MAX_SHOWN]}..."
    return f"{request.agent} {request.target}{f' {short}' if request.arguments else ''}"


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one document; whatever is wrong with it goes to `report`."""

    document: Document
    policy: Policy
    servers: Collection[str]
    report: Report

    def trials(self) -> Iterator[Trial]:
        table, path = self.document.table, self.document.path
        for key in table.keys() - {"test"}:
            self.report.problem(path, key, "is not a key of this file", "write [[test]] above each test")
        tests = table.get("test", [])
        if not isinstance(tests, list) or not tests or not all(isinstance(test, dict) for test in tests):
            self.report.problem(path, "test", "is not a list of tests", "write [[test]] above each test")
            return
        places = self.document.places("test", len(tests))
        for index, (test, place) in enumerate(zip(tests, places, strict=True)):
            if (trial := self._trial(test, f"test[{index}]", place)) is not None:
                yield trial

    def _trial(self, test: dict[str, Any], key: str, place: str) -> Trial | None:
        faults = [*_faults(test), *self._names(test)]
        for name, message, fix in faults:
            self.report.problem(place, f"{key}.{name}" if name else key, message, fix)
        if faults:
            return None
        kind = next(kind for kind in ACTIONS if kind in test)
        server, _, name = test[kind].partition("/")
        arguments, claims = test.get("arguments", {}), test.get("claims", {})
        request = Request(test["agent"], ACTIONS[kind], server, name, arguments, claims)
        return Trial(place, key, request, test["expect"], test.get("rule", ""), test.get("why", ""))

    def _names(self, test: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Faults in what a test names: its object, its agent, its rule."""
        for kind in ACTIONS.keys() & test.keys():
            target = test[kind]
            servers = [*self.servers, OWN] if self.servers else [str(target).partition("/")[0]]
            if fault := target_fault(kind, target, servers):
                yield kind, *fault
            elif target.endswith("*") or "*/" in target:
                yield kind, "is a glob, but a test is of one object", "write the name of one"
        agent, rule = str(test.get("agent")), str(test.get("rule", "denied"))
        if agent not in self.policy.agents:
            yield "agent", "has no policy file", nearest(agent, self.policy.agents)
        elif rule not in (known := {*REASONS, *(each.id for each in self.policy.rules(agent))}):
            yield "rule", "is neither a rule of this agent nor a reason", nearest(rule, known)


def _faults(test: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, message and fix for everything wrong with the shape of one test."""
    for key in test.keys() - KEYS:
        yield key, "is not a key of a test", nearest(key, KEYS)
    kinds = [kind for kind in ACTIONS if kind in test]
    if len(kinds) != 1:
        message = "names more than one object" if kinds else "names no object"
        yield "", message, 'write exactly one of tool, resource, prompt = "server/name"'
    if test.get("expect") not in OUTCOMES:
        yield "expect", "is not what a test can expect", 'write "allow", "deny" or "gate"'
    for key in {"agent", "rule", "why"} & test.keys():
        if not isinstance(test[key], str):
            yield key, "is not a string", "put it in quotes"
    if "arguments" in test and "tool" not in test:
        yield "arguments", "can stand on a tool only", "remove them"
    for key in ("arguments", "claims"):
        if not _is_json_object(test.get(key, {})):
            yield key, "is not a table of JSON values", "use text, finite numbers, booleans, lists, tables"


def _is_json_object(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return isinstance(value, dict)
