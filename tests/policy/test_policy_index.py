"""The index finds the rules that match, neither more nor fewer; Casbin over them says what Casbin over all says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_files import MODEL

from gateway.policy import Policy
from gateway.policy.enforcer import Enforcer
from gateway.policy.index import Index
from gateway.policy.page import role_subject
from gateway.policy.rules import Rule

Build = Callable[..., Policy]
ACTIONS: Any = st.sampled_from(["call", "read", "get"])
TEXTS = st.text("ab*", max_size=4)
PATTERNS = st.text("ab", max_size=3).flatmap(lambda head: st.sampled_from([head or "*", head + "*"]))


def rules_of(made: list[tuple[Any, str, str]]) -> list[Rule]:
    return [Rule(f"r{n}", "a", "allow", action, server, name) for n, (action, server, name) in enumerate(made)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ACTIONS, PATTERNS, PATTERNS), max_size=12), TEXTS, TEXTS, ACTIONS)
def test_the_index_finds_exactly_the_rules_that_match_in_their_order(
    made: list[Any], server: str, name: str, action: str
) -> None:
    rules = rules_of(made)
    expected = tuple(place for place, rule in enumerate(rules) if rule.matches(server, name, action))
    assert Index(rules).find(server, name, action) == expected


def test_an_unknown_action_or_an_empty_name_finds_nothing() -> None:
    index = Index(rules_of([("call", "*", "*")]))
    assert index.find("s", "t", "call") == (0,)
    assert index.find("s", "t", "delete") == index.find("", "t", "call") == index.find("s", "", "call") == ()


rule_strategy = st.tuples(st.sampled_from(["allow", "allow", "deny"]), PATTERNS, PATTERNS, st.booleans())


@settings(max_examples=150, deadline=None)
@given(st.lists(rule_strategy, min_size=1, max_size=8, unique=True), st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_casbin_over_the_rules_found_decides_as_casbin_over_all(made: list[Any], asked: list[tuple[str, str]]) -> None:
    rules = [Rule(f"r{n}", "a", effect, "call", server, name) for n, (effect, server, name, _) in enumerate(made)]
    holding = frozenset(rule.id for rule, (*_, holds) in zip(rules, made, strict=True) if holds)
    enforcer = Enforcer(MODEL, "a", [])
    for server, name in asked:
        found = [rules[place] for place in Index(rules).find(server, name, "call")]
        expected = enforcer.enforce(rules, server, name, "call", holding)
        assert (enforcer.enforce(found, server, name, "call", holding) if found else (False, None)) == expected


def test_the_enforcer_is_never_asked_over_no_rules_where_casbin_would_match_empty_texts() -> None:
    with pytest.raises(ValueError, match="no rules"):
        Enforcer(MODEL, "", []).enforce([], "", "", "", frozenset())


def test_the_enforcer_knows_an_agents_roles_and_no_others() -> None:
    enforcer = Enforcer(MODEL, "a", [role_subject("r")])
    for subject, allowed in (("a", True), ("role:r", True), ("role:q", False), ("r", False), ("b", False)):
        rule = Rule("x", subject, "allow", "call", "s", "t")
        assert enforcer.enforce([rule], "s", "t", "call", frozenset({"x"}))[0] is allowed


def test_objects_that_the_same_rules_match_cost_one_verdict(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/*"}), ("deny", {"tool": "payment/delete_*"}))
    for number in range(200):
        assert policy.visible("a", "payment", f"tool{number}", "call")
        assert not policy.visible("a", "payment", f"delete_{number}", "call")
    matches = policy.grants["a"]._matches.values()
    assert [len(match.decisions) for match in matches] == [1, 1]
