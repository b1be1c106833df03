"""Casbin behind our files decides as a second, plain evaluator does; threads do not change that."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy import Policy

Build = Callable[..., Policy]
Rules = list[tuple[str, dict[str, Any]]]
KINDS = {"tool": "call", "resource": "read", "prompt": "get"}


def reference(rules: Rules, server: str, name: str, action: str, arguments: dict[str, Any]) -> bool:
    """Default deny, deny overrides, and conditions by hand: {maximum: number} and {enum: strings} only."""

    def same(pattern: str, text: str) -> bool:
        regex = re.escape(pattern[:-1]) + ".*" if pattern.endswith("*") else re.escape(pattern)
        return re.fullmatch(regex, text, re.DOTALL) is not None

    def fits(effect: str, condition: dict[str, Any], argument: str) -> bool:
        value = arguments.get(argument)
        if "maximum" in condition:
            right_type = isinstance(value, int | float) and not isinstance(value, bool)
            return value <= condition["maximum"] if right_type else effect == "deny"
        return value in condition["enum"] if isinstance(value, str) else effect == "deny"

    def holds(effect: str, rule: dict[str, Any]) -> bool:
        kind = next(kind for kind in KINDS if kind in rule)
        left, _, right = rule[kind].partition("/")
        if KINDS[kind] != action or not same(left, server) or not same(right, name):
            return False
        return all(fits(effect, condition, argument) for argument, condition in rule.get("where", {}).items())

    held = {effect for effect, rule in rules if holds(effect, rule)}
    return "allow" in held and "deny" not in held


servers = st.sampled_from(["payment", "billing", "records"])
names = st.sampled_from(["get", "get_all", "delete", "delete_all", "Get", "g"])
server_patterns = servers | st.sampled_from(["*", "p*", "bill*"])
name_patterns = names | st.sampled_from(["*", "get*", "delete_*"])
conditions = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.fixed_dictionaries({"maximum": st.integers(0, 9)}),
        "unit": st.just({"enum": ["USD", "EUR"]}),
    },
)


@st.composite
def rule_lists(draw: st.DrawFn) -> Rules:
    rules: Rules = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["tool", "tool", "tool", "resource", "prompt"]))
        rule: dict[str, Any] = {kind: f"{draw(server_patterns)}/{draw(name_patterns)}"}
        if kind == "tool" and (where := draw(conditions)):
            rule["where"] = where
        effect = draw(st.sampled_from(["allow", "allow", "deny"]))
        if (effect, rule) not in rules:
            rules.append((effect, rule))
    return rules


amounts = st.sampled_from([0, 5, 9, 9.5, 10, True, None, "5", [5]])
units = st.sampled_from(["USD", "EUR", "usd", "", None, 5])
arguments = st.fixed_dictionaries({}, optional={"amount": amounts, "unit": units})
requests = st.tuples(servers, names, st.sampled_from(["call", "call", "call", "read", "get"]), arguments)


def policy_of(build: Build, own: Rules, shared: Rules) -> Policy:
    """A policy whose agent has `own` rules and one role with the `shared` ones."""
    return build(*own, roles={"shared": shared})


@settings(max_examples=80, deadline=None)
@given(rule_lists(), rule_lists(), st.lists(requests, min_size=10, max_size=30))
def test_every_decision_equals_that_of_the_reference(build: Build, own: Rules, shared: Rules, asked: list[Any]) -> None:
    policy = policy_of(build, own, shared)
    for _ in range(2):  # from Casbin, then from memory
        for server, name, action, given_arguments in asked:
            decision = policy.decide("a", server, name, action, given_arguments)
            assert decision.allowed is reference(own + shared, server, name, action, given_arguments)
            assert bool(decision.text) is not decision.allowed


@settings(max_examples=40, deadline=None)
@given(rule_lists(), rule_lists(), st.lists(requests, min_size=10, max_size=20))
def test_what_is_listed_and_what_is_decided_agree(build: Build, own: Rules, shared: Rules, asked: list[Any]) -> None:
    policy = policy_of(build, own, shared)
    firm = [(effect, rule) for effect, rule in own + shared if effect == "allow" or "where" not in rule]
    unconditional = [(effect, {k: v for k, v in rule.items() if k != "where"}) for effect, rule in firm]
    for server, name, action, given_arguments in asked:
        visible = policy.visible("a", server, name, action)
        assert visible is reference(unconditional, server, name, action, {})
        assert visible or not policy.decide("a", server, name, action, given_arguments).allowed


def test_five_threads_decide_rightly_while_new_policies_are_built_and_swapped(build: Build) -> None:
    own: Rules = [
        ("allow", {"tool": "payment/*", "where": {"amount": {"maximum": 5}}}),
        ("allow", {"tool": "records/*"}),
        ("deny", {"tool": "payment/*", "where": {"unit": {"enum": ["EUR"]}}}),
    ]
    shared: Rules = [("deny", {"tool": "*/delete_*"}), ("allow", {"tool": "billing/get"})]
    asked = [
        (server, name, {"amount": amount, "unit": unit})
        for server in ("payment", "billing", "records")
        for name in ("get", "delete_all", "delete")
        for amount in (5, 6, "5")
        for unit in ("USD", "EUR", 7)
    ]
    expected = [reference(own + shared, server, name, "call", values) for server, name, values in asked]
    live, done, wrong, counts = [policy_of(build, own, shared)], threading.Event(), [], [0] * 5

    def decide(worker: int) -> None:
        while not done.is_set():
            for (server, name, values), answer in zip(asked, expected, strict=True):
                if live[0].decide("a", server, name, "call", values).allowed is not answer:
                    wrong.append((server, name, values))
                counts[worker] += 1

    threads = [threading.Thread(target=decide, args=(worker,)) for worker in range(5)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            live[0] = policy_of(build, own, shared)
    finally:
        done.set()
        for thread in threads:
            thread.join(10)
    assert not wrong
    assert min(counts) > 0
