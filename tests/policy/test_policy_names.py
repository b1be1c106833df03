"""Rules that name tools or arguments no server has are found, with the nearest name there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.policy import Policy, check_names
from gateway.policy.names import idle_globs, unchecked

Build = Callable[..., Policy]

CHARGE = {"type": "object", "properties": {"amount": {}, "currency": {}}}
TOOLS: dict[str, Any] = {"payment": {"charge": CHARGE, "refund": {"type": "object"}}, "records": {}}
AMOUNT = {"amount": {"maximum": 5}}


def test_names_that_are_there_are_no_problem(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/charge", "where": AMOUNT}), ("deny", {"tool": "payment/refund"}))
    assert check_names(policy, TOOLS) == []
    assert idle_globs(policy, TOOLS) == []


@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_a_tool_its_server_does_not_offer_is_named_with_place_and_nearest(build: Build, effect: str) -> None:
    policy = build(("allow", {"tool": "payment/*"}), (effect, {"tool": "payment/chrge"}))
    (problem,) = check_names(policy, TOOLS)
    assert problem.file.endswith("a.toml:7")
    assert problem.key == f"{effect}[{int(effect == 'allow')}].tool"
    assert '"chrge"' in problem.message
    assert problem.fix == 'did you mean "charge"?'


def test_an_argument_the_tool_does_not_have_is_named_with_the_nearest(build: Build) -> None:
    policy = build(
        ("allow", {"tool": "payment/charge", "where": {"amuont": {"maximum": 5}, "currency": {"const": "x"}}})
    )
    (problem,) = check_names(policy, TOOLS)
    assert (problem.key, problem.fix) == ("allow[0].where.amuont", 'did you mean "amount"?')


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({}, False),
        ({"additionalProperties": False}, False),
        ({"additionalProperties": True}, True),
        ({"additionalProperties": {"type": "number"}}, True),
        ({"patternProperties": {"^x": {}}}, True),
        ({"$ref": "#/$defs/T"}, True),
    ],
)
def test_a_tool_that_takes_other_arguments_on_purpose_knows_any(build: Build, more: Any, known: bool) -> None:
    policy = build(("allow", {"tool": "payment/charge", "where": {"extra": {"const": 1}}}))
    assert (check_names(policy, {"payment": {"charge": CHARGE | more}}) == []) is known


def test_a_tool_without_declared_properties_may_take_anything(build: Build) -> None:
    assert check_names(build(("allow", {"tool": "payment/refund", "where": AMOUNT})), TOOLS) == []


def test_resources_prompts_and_globs_are_not_compared(build: Build) -> None:
    rules = [{"resource": "payment/x"}, {"prompt": "payment/x"}, {"tool": "payment/x*"}, {"tool": "pay*/x"}]
    assert check_names(build(*(("allow", rule) for rule in rules)), TOOLS) == []


def test_a_server_that_is_down_is_told_once_and_its_names_are_not_judged(build: Build) -> None:
    policy = build(("allow", {"tool": "billing/a"}), ("allow", {"tool": "billing/b"}), ("allow", {"tool": "files/*"}))
    assert check_names(policy, TOOLS) == []
    assert [warning.key for warning in unchecked(policy, {"billing"})] == ["allow[0].tool"]
    assert unchecked(policy, {"payment"}) == []


def test_a_glob_that_matches_nothing_of_what_is_up_is_told_apart(build: Build) -> None:
    rules = [{"tool": "payment/ch*"}, {"tool": "payment/x*"}, {"tool": "rec*/charge"}, {"tool": "files/*"}]
    policy = build(*(("allow", rule) for rule in rules))
    assert [warning.key for warning in idle_globs(policy, TOOLS)] == ["allow[1].tool", "allow[2].tool"]


def test_a_rule_of_a_role_is_told_of_once_in_the_file_of_the_role(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/charge"}), roles={"r": [("allow", {"tool": "payment/gone"})]})
    (problem,) = check_names(policy, TOOLS)
    assert problem.file.endswith("roles/r.toml:4")
