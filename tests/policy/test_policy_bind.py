"""Arguments that the gateway fills in: left out by the caller, hidden from it, and never taken from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.policy import Policy

Build = Callable[..., Policy]

BOUND = {"tool": "payment/charge", "bind": {"customer_id": "claims.customer_id", "region": {"const": "eu"}}}
TOOL = {
    "type": "object",
    "properties": {"customer_id": {"type": "string"}, "region": {}, "amount": {"type": "integer"}},
    "required": ["customer_id", "amount"],
}


def test_a_bound_rule_lets_a_call_through_that_leaves_its_arguments_out(build: Build) -> None:
    decision = build(("allow", BOUND)).decide("a", "payment", "charge", "call", {"amount": 5})
    assert (decision.allowed, decision.rule) == (True, "a.toml:allow[0]")
    assert decision.bind == BOUND["bind"]


@pytest.mark.parametrize("given", [{"customer_id": "C1"}, {"region": "eu"}, {"region": None}, {"customer_id": ""}])
def test_a_caller_that_gives_a_bound_argument_is_told_to_leave_it_out(build: Build, given: dict[str, Any]) -> None:
    decision = build(("allow", BOUND)).decide("a", "payment", "charge", "call", {"amount": 5, **given})
    (name,) = given
    assert (decision.allowed, decision.rule, decision.bind) == (False, None, {})
    assert f"{name}: the gateway fills it in, so leave it out" in decision.text
    assert "schema" not in decision.text


def test_what_is_told_of_bound_arguments_stands_beside_the_conditions_that_fail(build: Build) -> None:
    policy = build(("allow", BOUND | {"where": {"amount": {"maximum": 5}}}))
    text = policy.decide("a", "payment", "charge", "call", {"amount": 9, "region": "eu"}).text
    assert "region: the gateway fills it in" in text
    assert "amount: 9 is greater than the maximum of 5" in text
    assert "customer_id" not in text


def test_another_rule_may_still_take_the_argument_from_the_caller(build: Build) -> None:
    policy = build(("allow", BOUND), ("allow", {"tool": "payment/*", "where": {"region": {"enum": ["us"]}}}))
    decision = policy.decide("a", "payment", "charge", "call", {"region": "us", "amount": 5})
    assert (decision.rule, decision.bind) == ("a.toml:allow[1]", {})
    assert policy.decide("a", "payment", "charge", "call", {"amount": 5}).rule == "a.toml:allow[0]"
    assert not policy.decide("a", "payment", "charge", "call", {"region": "eu"}).allowed


def test_of_two_rules_that_hold_the_first_says_what_is_filled_in(build: Build) -> None:
    plain = {"tool": "payment/charge"}
    first = build(("allow", BOUND), ("allow", plain)).decide("a", "payment", "charge", "call", {})
    second = build(("allow", plain), ("allow", BOUND)).decide("a", "payment", "charge", "call", {})
    assert (first.bind, second.bind) == (BOUND["bind"], {})


def test_a_deny_over_an_argument_the_gateway_fills_in_refuses_every_call(build: Build) -> None:
    deny = ("deny", {"tool": "payment/charge", "where": {"region": {"enum": ["us"]}}})
    assert build(("allow", BOUND), deny).decide("a", "payment", "charge", "call", {}).rule == "a.toml:deny[0]"


def test_a_bound_argument_vanishes_from_what_the_agent_is_shown(build: Build) -> None:
    schema = build(("allow", BOUND)).narrow("a", "payment", "charge", TOOL)
    assert schema == {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
    assert "customer_id" in TOOL["properties"]


def test_bound_and_narrowed_arguments_of_one_rule_are_both_shown_as_they_are(build: Build) -> None:
    schema = build(("allow", BOUND | {"where": {"amount": {"maximum": 5}}})).narrow("a", "payment", "charge", TOOL)
    assert schema["properties"] == {"amount": {"type": "integer", "maximum": 5}}
    assert schema["required"] == ["amount"]


def test_what_only_some_rules_fill_in_is_shown_and_need_not_be_given(build: Build) -> None:
    rules = [("allow", BOUND), ("allow", {"tool": "payment/*", "bind": {"region": {"const": "us"}}})]
    policy = build(*rules)
    schema = policy.narrow("a", "payment", "charge", TOOL)
    assert schema["properties"].keys() == {"customer_id", "amount"}
    assert schema["required"] == ["amount"]
    for arguments in ({"amount": 5}, {"amount": 5, "customer_id": "C1"}):
        assert Draft202012Validator(schema).is_valid(arguments)
        assert policy.decide("a", "payment", "charge", "call", arguments).allowed


def test_a_tool_without_declared_properties_can_have_bound_ones(build: Build) -> None:
    assert build(("allow", BOUND)).narrow("a", "payment", "charge", {"type": "object"}) == {"type": "object"}
