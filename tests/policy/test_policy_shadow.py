"""A rule in shadow is decided and told of, and changes nothing that anybody is answered or shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.policy import Policy

Build = Callable[..., Policy]

ALL = ("allow", {"tool": "payment/*"})
BIG = {"amount": {"minimum": 100}}


def asked(policy: Policy, name: str = "charge", **arguments: Any) -> tuple[bool, str | None, str | None]:
    decision = policy.decide("a", "payment", name, "call", arguments)
    return decision.allowed, decision.rule, decision.shadow


def test_a_deny_in_shadow_is_named_where_it_would_refuse(build: Build) -> None:
    policy = build(ALL, ("deny", {"tool": "payment/charge", "where": BIG, "shadow": True}))
    assert asked(policy, amount=5) == (True, "a.toml:allow[0]", None)
    assert asked(policy, amount=500) == (True, "a.toml:allow[0]", "a.toml:deny[0]")
    assert asked(policy, "refund", amount=500) == (True, "a.toml:allow[0]", None)


def test_an_allow_in_shadow_is_named_where_it_would_let_through(build: Build) -> None:
    policy = build(
        ("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 50}}}),
        ("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 500}}, "shadow": True}),
    )
    assert asked(policy, amount=5) == (True, "a.toml:allow[0]", None)
    assert asked(policy, amount=300) == (False, None, "a.toml:allow[1]")
    assert asked(policy, amount=900) == (False, None, None)


def test_a_tool_that_only_a_rule_in_shadow_allows_is_not_visible(build: Build) -> None:
    policy = build(("allow", {"tool": "records/get"}), ("allow", {"tool": "payment/charge", "shadow": True}))
    assert asked(policy) == (False, None, "a.toml:allow[1]")
    assert not policy.visible("a", "payment", "charge", "call")
    assert not policy.reaches("a", "payment")
    assert policy.narrow("a", "payment", "charge", {"type": "object"}) == {"type": "object", "not": {}}
    absent = policy.decide("a", "billing", "nothing", "call", {})
    assert policy.decide("a", "payment", "charge", "call", {}).text == absent.text


def test_a_deny_in_shadow_hides_nothing_and_narrows_nothing(build: Build) -> None:
    schema = {"type": "object", "properties": {"amount": {}}}
    where = {"amount": {"maximum": 5}}
    policy = build(
        ("allow", {"tool": "payment/charge", "where": where}),
        ("allow", {"tool": "payment/charge", "shadow": True}),
        ("deny", {"tool": "payment/*", "shadow": True}),
    )
    assert policy.visible("a", "payment", "charge", "call")
    assert policy.narrow("a", "payment", "charge", schema)["properties"]["amount"] == {"maximum": 5, "type": "number"}


def test_two_rules_in_shadow_that_undo_each_other_disagree_with_nothing(build: Build) -> None:
    policy = build(
        ("allow", {"tool": "records/get"}),
        ("allow", {"tool": "payment/charge", "shadow": True}),
        ("deny", {"tool": "payment/*", "shadow": True}),
    )
    assert asked(policy) == (False, None, None)


def test_an_allow_in_shadow_cannot_lift_a_deny_in_force(build: Build) -> None:
    policy = build(ALL, ("allow", {"tool": "payment/*", "shadow": True}), ("deny", {"tool": "payment/charge"}))
    assert asked(policy) == (False, "a.toml:deny[0]", None)


def test_a_refusal_explains_the_rules_in_force_only(build: Build) -> None:
    policy = build(
        ("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 50}}}),
        ("allow", {"tool": "payment/charge", "where": {"secret_word": {"const": "x"}}, "shadow": True}),
    )
    text = policy.decide("a", "payment", "charge", "call", {"amount": 60}).text
    assert "maximum of 50" in text
    assert "secret_word" not in text


@pytest.mark.parametrize("shadow", [{}, {"shadow": True}])
def test_what_a_rule_in_shadow_binds_is_not_filled_in(build: Build, shadow: dict[str, Any]) -> None:
    bound = {"tool": "payment/charge", "bind": {"region": {"const": "eu"}}}
    policy = build(("allow", bound | shadow), ALL)
    assert policy.decide("a", "payment", "charge", "call", {}).bind == ({} if shadow else bound["bind"])
