"""The matrix says yes and no only where no argument could make it otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from policy_files import SERVERS
from random_policies import Rules, requests, rule_lists

from gateway.policy import Policy
from gateway.policy.matrix import cell, matrix
from gateway.policy.objects import objects
from gateway.policy.verdict import Request, judge

Build = Callable[..., Policy]
APPROVAL = {"type": "approval"}
AT_TIMES = {"type": "approval", "when": {"x": {"minimum": 1}}}
COND = {"where": {"x": {"maximum": 1}}}


@settings(max_examples=200, deadline=None)
@given(rule_lists(), rule_lists(), requests)
def test_a_cell_agrees_with_every_decision(
    build: Build, own: Rules, shared: Rules, request: tuple[str, str, Any, dict[str, Any]]
) -> None:
    policy = build(*own, roles={"shared": shared})
    server, name, _, arguments = request
    access = cell(policy, "a", server, name).access
    outcome = judge(policy, Request("a", "call", server, name, arguments)).outcome
    assert access == "depends" or outcome == {"yes": "allow", "no": "deny", "gate": "gate"}[access]


@pytest.mark.parametrize(
    ("rules", "access"),
    [
        ([("allow", {})], "yes"),
        ([("allow", COND)], "depends"),
        ([("allow", {}), ("allow", COND)], "yes"),
        ([("allow", {}), ("deny", COND)], "depends"),
        ([("allow", {}), ("deny", {})], "no"),
        ([("deny", {})], "no"),
        ([("allow", {"gate": APPROVAL})], "gate"),
        ([("allow", {"gate": AT_TIMES})], "depends"),
        ([("allow", {"gate": APPROVAL, **COND}), ("allow", {})], "depends"),
        ([("allow", {"gate": APPROVAL}), ("allow", COND)], "gate"),
        ([("allow", {"bind": {"x": "claims.x"}})], "depends"),
        ([("allow", {"shadow": True})], "no"),
        ([("allow", {}), ("deny", {"shadow": True})], "yes"),
    ],
)
def test_what_rules_say_together(build: Build, rules: list[tuple[str, dict[str, Any]]], access: str) -> None:
    padding = ("allow", {"tool": "records/other"})
    policy = build(*((effect, {"tool": "payment/pay", **rule}) for effect, rule in rules), padding)
    assert cell(policy, "a", "payment", "pay").access == access


def test_a_glob_that_nobody_may_use_makes_no_row(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/get_*"}), ("deny", {"tool": "*/delete_*"}))
    rows = matrix(policy, objects(policy.rules("a"), SERVERS)).rows
    assert [row.tool.target for row in rows] == ["payment/get_*"]


@pytest.mark.parametrize(
    ("rule", "bounded"),
    [({}, False), ({"limit": ["1/day"]}, True), ({"budget": [{"sum": "x", "max": 1, "per": "day"}]}, True)],
)
def test_a_cell_says_whether_a_rule_bounds_it(build: Build, rule: dict[str, Any], bounded: bool) -> None:
    pay = ("allow", {"tool": "payment/pay", **rule})
    assert cell(build(pay), "a", "payment", "pay").bounded is bounded
    assert not cell(build(pay, ("deny", {"tool": "payment/*"})), "a", "payment", "pay").bounded
