"""`bind`, `shadow`, `gate`, `limit` and `budget` are read strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from policy_files import SERVERS

from gateway.errors import ConfigError, Problem
from gateway.policy import Policy, load

Write = Callable[[Mapping[str, str | bytes]], Path]
Build = Callable[..., Policy]
HEAD = 'agent = "a"\ndescription = "Tests."\n\n'


def fault(write: Write, line: str, effect: str = "allow", kind: str = "tool") -> Problem:
    """The one problem of a rule with this line; an allow before it makes the rest of the file whole."""
    first = '[[allow]]\ntool = "records/get"\n'
    text = f'{HEAD}{first}[[{effect}]]\n{kind} = "payment/charge"\n{line}\n'
    with pytest.raises(ConfigError) as caught:
        load(write({"a.toml": text}), SERVERS)
    (problem,) = caught.value.problems
    assert problem.file.endswith("a.toml:6")
    assert problem.message and problem.fix
    return problem


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("bind = {}", "bind"),
        ('bind = "claims.x"', "bind"),
        ('bind = { x = "claim.x" }', "bind.x"),
        ('bind = { x = "claims." }', "bind.x"),
        ('bind = { x = "claims.1" }', "bind.x"),
        ('bind = { x = "claims.x.y" }', "bind.x"),
        ('bind = { x = "eu" }', "bind.x"),
        ("bind = { x = 5 }", "bind.x"),
        ("bind = { x = {} }", "bind.x"),
        ("bind = { x = { value = 5 } }", "bind.x"),
        ("bind = { x = { const = 5, other = 6 } }", "bind.x"),
        ("bind = { x = { const = nan } }", "bind.x.const"),
        ("bind = { x = { const = 2026-01-01 } }", "bind.x.const"),
        ('bind = { "" = { const = 5 } }', "bind.''"),
        ("bind = { x = { const = 5 } }\nwhere = { x = { maximum = 5 } }", "bind.x"),
        ("shadow = false", "shadow"),
        ('shadow = "true"', "shadow"),
        ("shadow = 1", "shadow"),
        ("gate = {}", "gate"),
        ('gate = "approval"', "gate"),
        ('gate = { type = "aproval" }', "gate.type"),
        ("gate = { type = 5 }", "gate.type"),
        ("gate = { expires = '5m' }", "gate.type"),
        ('gate = { type = "approval", threshold = 0.5 }', "gate.threshold"),
        ('gate = { type = "approval", wen = {} }', "gate.wen"),
        ('gate = { type = "approval", when = {} }', "gate.when"),
        ('gate = { type = "approval", when = { amount = { max = 5 } } }', "gate.when.amount.max"),
        ('gate = { type = "approval", approvers = 0 }', "gate.approvers"),
        ('gate = { type = "approval", approvers = true }', "gate.approvers"),
        ('gate = { type = "approval", approvers = 1.5 }', "gate.approvers"),
        ('gate = { type = "approval", expires = "30" }', "gate.expires"),
        ('gate = { type = "approval", expires = 30 }', "gate.expires"),
        ('gate = { type = "approval", expires = "0m" }', "gate.expires"),
        ('gate = { type = "approval", words = " " }', "gate.words"),
        ('gate = { type = "approval", words = "a\\nb" }', "gate.words"),
        ('gate = { type = "confidence" }', "gate.threshold"),
        ('gate = { type = "confidence", threshold = 1.1 }', "gate.threshold"),
        ('gate = { type = "confidence", threshold = -0.1 }', "gate.threshold"),
        ('gate = { type = "confidence", threshold = nan }', "gate.threshold"),
        ('gate = { type = "confidence", threshold = true }', "gate.threshold"),
        ('gate = { type = "escalation" }', "gate.tiers"),
        ('gate = { type = "escalation", tiers = [] }', "gate.tiers"),
        ('gate = { type = "escalation", tiers = ["lead"] }', "gate.tiers"),
        ('gate = { type = "escalation", tiers = [{ reviewers = ["a"], after = "5m" }, "b"] }', "gate.tiers"),
        ('gate = { type = "escalation", tiers = [{ after = "5m" }] }', "gate.tiers[0].reviewers"),
        ('gate = { type = "escalation", tiers = [{ reviewers = ["a", 5] }] }', "gate.tiers[0].reviewers"),
        ('gate = { type = "escalation", tiers = [{ reviewers = ["a", "b\\n"] }] }', "gate.tiers[0].reviewers"),
        ('gate = { type = "escalation", tiers = [{ reviewers = [] }] }', "gate.tiers[0].reviewers"),
        ('gate = { type = "escalation", tiers = [{ reviewers = ["a", "a"] }] }', "gate.tiers[0].reviewers"),
        ('gate = { type = "escalation", tiers = [{ reviewers = ["a"], then = 1 }] }', "gate.tiers[0].then"),
        ('gate = { type = "escalation", tiers = [{ reviewers = ["a"], after = "x" }] }', "gate.tiers[0].after"),
        (
            'gate = { type = "escalation", tiers = [{ reviewers = ["a"] }, { reviewers = ["b"] }] }',
            "gate.tiers[0].after",
        ),
        ("limit = []", "limit"),
        ('limit = "10/minute"', "limit"),
        ('limit = ["10/month"]', "limit[0]"),
        ('limit = ["0/minute"]', "limit[0]"),
        ('limit = ["10 / minute"]', "limit[0]"),
        ("limit = [10]", "limit[0]"),
        ('limit = ["10/minute", "5/minute"]', "limit[1]"),
        ("budget = []", "budget"),
        ('budget = { sum = "amount", max = 5, per = "day" }', "budget"),
        ('budget = [{ sum = "amount", max = 5, per = "day" }, 5]', "budget"),
        ('budget = [{ max = 5, per = "day" }]', "budget[0].sum"),
        ('budget = [{ sum = " ", max = 5, per = "day" }]', "budget[0].sum"),
        ('budget = [{ sum = 5, max = 5, per = "day" }]', "budget[0].sum"),
        ('budget = [{ sum = "amount", per = "day" }]', "budget[0].max"),
        ('budget = [{ sum = "amount", max = 0, per = "day" }]', "budget[0].max"),
        ('budget = [{ sum = "amount", max = true, per = "day" }]', "budget[0].max"),
        ('budget = [{ sum = "amount", max = 5.5, per = "day" }]', "budget[0].max"),
        ('budget = [{ sum = "amount", max = 5 }]', "budget[0].per"),
        ('budget = [{ sum = "amount", max = 5, per = "week" }]', "budget[0].per"),
        ('budget = [{ sum = "amount", max = 5, per = "day", currency = "" }]', "budget[0].currency"),
        ('budget = [{ sum = "amount", max = 5, per = "day", of = 1 }]', "budget[0].of"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_fix(write: Write, line: str, key: str) -> None:
    assert fault(write, line).key == f"allow[1].{key}"


EXTRAS = {
    "bind": "bind = { x = { const = 5 } }",
    "gate": 'gate = { type = "approval" }',
    "limit": 'limit = ["1/minute"]',
    "budget": 'budget = [{ sum = "amount", max = 5, per = "day" }]',
}


@pytest.mark.parametrize("key", EXTRAS)
def test_what_lets_calls_through_cannot_stand_on_a_deny(write: Write, key: str) -> None:
    assert fault(write, EXTRAS[key], effect="deny").key == f"deny[0].{key}"


@pytest.mark.parametrize("key", ["bind", "gate", "budget"])
@pytest.mark.parametrize("kind", ["resource", "prompt"])
def test_what_concerns_arguments_cannot_stand_on_what_has_none(write: Write, key: str, kind: str) -> None:
    assert fault(write, EXTRAS[key], kind=kind).key == f"allow[1].{key}"


GATES: list[dict[str, Any]] = [
    {"type": "approval"},
    {"type": "approval", "when": {"amount": {"minimum": 5}}, "approvers": 2, "expires": "30m", "words": "Look."},
    {"type": "confidence", "threshold": 0.9},
    {"type": "confidence", "threshold": 0},
    {"type": "confidence", "threshold": 1, "when": {"amount": {"minimum": 5}}, "approvers": 1},
    {"type": "escalation", "tiers": [{"reviewers": ["lead"]}]},
    {"type": "escalation", "tiers": [{"reviewers": ["a", "b"], "after": "15m"}, {"reviewers": ["c"], "after": "1d"}]},
]


@pytest.mark.parametrize(
    "extra",
    [
        *({"gate": gate} for gate in GATES),
        {"limit": ["1/second", "10/minute", "100/hour", "1000/day"]},
        {"budget": [{"sum": "amount", "max": 5, "per": per} for per in ("minute", "hour", "day", "run")]},
        {"budget": [{"sum": "amount", "max": 5, "per": "day", "currency": "USD"}]},
    ],
)
def test_what_is_written_right_loads(build: Build, extra: dict[str, Any]) -> None:
    policy = build(("allow", {"tool": "records/get"}), ("allow", {"tool": "payment/charge", **extra}))
    (said,) = [getattr(rule, next(iter(extra))) for rule in policy.rules("a") if rule.name == "charge"]
    assert said == (tuple(value) if isinstance(value := next(iter(extra.values())), list) else value)


def test_every_extra_changes_the_digest(build: Build) -> None:
    plain = {"tool": "payment/charge"}
    extras: list[dict[str, Any]] = [
        {},
        {"bind": {"x": {"const": 5}}},
        {"bind": {"x": {"const": True}}},
        {"bind": {"x": "claims.x"}},
        {"shadow": True},
        {"gate": GATES[0]},
        {"limit": ["1/day"]},
        {"budget": [{"sum": "amount", "max": 5, "per": "day"}]},
    ]
    assert len({build(("allow", plain | extra)).digest for extra in extras}) == len(extras)


def test_the_order_in_which_arguments_are_written_does_not_change_the_digest(build: Build) -> None:
    for key, sayings in (
        ("where", {"a": {"maximum": 1}, "b": {"maximum": 2}}),
        ("bind", {"a": "claims.a", "b": "claims.b"}),
    ):
        turned = dict(reversed(sayings.items()))
        digests = {build(("allow", {"tool": "payment/charge", key: said})).digest for said in (sayings, turned)}
        assert len(digests) == 1, key
