"""An explanation agrees with the decision, and says what kept each rule from holding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from random_policies import Rules, requests, rule_lists

from gateway.policy import Policy
from gateway.policy.explain import Explanation, explain
from gateway.policy.verdict import Request

Build = Callable[..., Policy]
CHARGE = ("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 5}, "unit": {"enum": ["USD"]}}})


def asked(policy: Policy, target: str, arguments: dict[str, Any] | None = None) -> Explanation:
    server, _, name = target.partition("/")
    return explain(policy, Request("a", "call", server, name, arguments or {}))


@settings(max_examples=200, deadline=None)
@given(rule_lists(), rule_lists(), requests)
def test_the_steps_that_hold_make_the_decision(
    build: Build, own: Rules, shared: Rules, request: tuple[str, str, Any, dict[str, Any]]
) -> None:
    server, name, action, arguments = request
    policy = build(*own, roles={"shared": shared})
    explanation = explain(policy, Request("a", action, server, name, arguments))
    held = [step.rule for step in explanation.steps if step.holds and not step.rule.shadow]
    effects = {rule.effect for rule in held}
    allowed = effects == {"allow"}
    assert policy.decide("a", server, name, action, arguments).allowed is allowed
    assert (explanation.verdict.outcome != "deny") is allowed
    assert explanation.verdict.rule in held or not held


@pytest.mark.parametrize(
    ("arguments", "failed"),
    [
        ({"amount": 5, "unit": "USD"}, ""),
        ({"amount": 6, "unit": "EUR"}, 'amount = 6 does not fit {"maximum": 5}'),
        ({"amount": 5, "unit": "EUR"}, 'unit = "EUR" does not fit {"enum": ["USD"]}'),
        ({"unit": "USD"}, 'amount is left out, which does not fit {"maximum": 5}'),
    ],
)
def test_the_first_condition_that_fails_is_told(build: Build, arguments: dict[str, Any], failed: str) -> None:
    (step,) = asked(build(CHARGE), "payment/charge", arguments).steps
    assert step.failed == failed


def test_an_argument_that_the_gateway_fills_in_is_told(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/get", "bind": {"customer": "claims.customer"}}))
    (step,) = asked(policy, "payment/get", {"customer": "c"}).steps
    assert step.failed == "customer is given, but is for the gateway to fill in"


def test_where_no_rule_matches_names_alike_are_told(build: Build) -> None:
    explanation = asked(build(CHARGE, ("allow", {"tool": "files/read"})), "payment/chrage")
    assert explanation.steps == ()
    assert explanation.near == ("payment/charge",)
