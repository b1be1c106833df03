"""What goes wrong with gates and budgets in practice is warned of, with place and fix; what is well is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from policy_files import SERVERS, page

from gateway.policy import Policy, check_names, load
from gateway.policy.gated import lint_budgets, lint_compensations, lint_gates

Build = Callable[..., Policy]
Write = Callable[[Mapping[str, str | bytes]], Path]
AWAIT = ("allow", {"tool": "toolgate/await_approval"})
KINDS = {"payment": {"pay": {"amount": "money", "order": "name"}, "refund": {"amount": "text"}}}


def gated(**gate: Any) -> tuple[str, dict[str, Any]]:
    return "allow", {"tool": "payment/pay", "gate": {"type": "approval", **gate}}


def test_a_gate_that_can_be_waited_for_and_decided_has_no_warning(build: Build) -> None:
    assert lint_gates(build(gated(), AWAIT), ["ann"]) == []
    assert lint_gates(build(gated(), ("allow", {"tool": "toolgate/*"})), ["ann"]) == []
    assert lint_gates(build(("allow", {"tool": "payment/pay"})), []) == []


def test_an_agent_that_cannot_wait_for_its_gate_is_warned_of_once(build: Build) -> None:
    (problem,) = lint_gates(build(gated(), ("allow", {"tool": "payment/x", "gate": {"type": "approval"}})), ["ann"])
    assert problem.key == "allow[0].gate"
    assert "agent a cannot wait for this gate" in problem.message
    denied = build(gated(), AWAIT, ("deny", {"tool": "toolgate/*"}))
    assert [problem.key for problem in lint_gates(denied, ["ann"])] == ["allow[0].gate"]


def test_a_threshold_that_stops_nothing_is_warned_of(build: Build) -> None:
    (problem,) = lint_gates(build(gated(type="confidence", threshold=0), AWAIT), ["ann"])
    assert problem.key == "allow[0].gate.threshold"
    assert lint_gates(build(gated(type="confidence", threshold=0.01), AWAIT), ["ann"]) == []


def test_gates_that_nobody_can_decide_on_are_warned_of_once(build: Build) -> None:
    (problem,) = lint_gates(build(gated(), gated(when={"x": {"maximum": 1}}), AWAIT), [])
    assert problem.key == "allow[0].gate"
    assert "toolgate reviewer create" in problem.fix


def test_reviewers_who_do_not_exist_are_named_with_their_tier(build: Build) -> None:
    tiers = [{"reviewers": ["ann"], "after": "5m"}, {"reviewers": ["bo", "an"]}]
    found = lint_gates(build(gated(type="escalation", tiers=tiers), AWAIT), ["ann", "bo"])
    assert [problem.key for problem in found] == ["allow[0].gate.tiers[1]"]
    assert 'names "an"' in found[0].message
    assert 'did you mean "ann"?' in found[0].fix


def test_more_approvers_than_reviewers_are_warned_of(build: Build) -> None:
    policy = build(gated(approvers=2), AWAIT)
    assert [problem.key for problem in lint_gates(policy, ["ann"])] == ["allow[0].gate.approvers"]
    assert lint_gates(policy, ["ann", "bo"]) == []


def test_a_rule_in_shadow_asks_nobody(build: Build) -> None:
    assert lint_gates(build(("allow", {"tool": "payment/pay", "gate": {"type": "approval"}, "shadow": True})), []) == []


@pytest.mark.parametrize(
    ("tool", "argument", "named"),
    [
        ("payment/pay", "amount", []),
        ("payment/pay", "order", ["payment/pay"]),
        ("payment/other", "amount", ["payment/other"]),
        ("payment/*", "amount", ["payment/refund"]),
        ("records/*", "amount", []),
    ],
)
def test_a_sum_over_what_is_no_money_is_warned_of(build: Build, tool: str, argument: str, named: list[str]) -> None:
    budget = [{"sum": argument, "max": 10, "per": "day"}]
    found = lint_budgets(build(("allow", {"tool": tool, "budget": budget})), KINDS)
    assert [problem.key for problem in found] == ["allow[0].budget[0].sum"] * len(named)
    for problem, tool in zip(found, named, strict=True):
        assert f"sums {argument} of {tool}" in problem.message


def test_undoing_by_a_tool_that_is_gated_is_warned_of_where_it_is_declared(write: Write) -> None:
    rules = [("allow", {"tool": "payment/*"}), ("allow", {"tool": "payment/refund", "gate": {"type": "approval"}})]
    policy = load(write({"a.toml": page("agent", "a", rules), "b.toml": page("agent", "b", rules[:1])}), SERVERS)
    (problem,) = lint_compensations(policy, {("payment", "pay"): "refund"}, "gateway.toml")
    assert (problem.file, problem.key) == ("gateway.toml", "servers.payment.tools.pay.compensate.tool")
    assert "gated for agent a" in problem.message
    assert lint_compensations(policy, {("payment", "pay"): "void", ("records", "put"): "refund"}, "gateway.toml") == []


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ({"gate": {"type": "approval", "when": {"amont": {"minimum": 1}}}}, "gate.when.amont"),
        ({"budget": [{"sum": "amont", "max": 1, "per": "day"}]}, "budget[0].sum"),
        ({"budget": [{"sum": "amount", "max": 1, "per": "day", "currency": "curency"}]}, "budget[0].currency"),
        ({"budget": [{"sum": "amount", "max": 1, "per": "day", "currency": "USD"}]}, None),
    ],
)
def test_an_argument_of_a_gate_or_budget_that_the_tool_does_not_have_is_a_problem(
    build: Build, rule: dict[str, Any], key: str | None
) -> None:
    schema = {"type": "object", "properties": {"amount": {}, "currency": {}}}
    found = check_names(build(("allow", {"tool": "payment/pay", **rule})), {"payment": {"pay": schema}})
    assert [problem.key for problem in found] == ([] if key is None else [f"allow[0].{key}"])
