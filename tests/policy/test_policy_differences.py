"""What differs between two policies is told: object by object, with arguments that show it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from policy_files import SERVERS
from random_policies import Rules, requests, rule_lists

from gateway.policy import Policy
from gateway.policy.differences import Change, differences, words
from gateway.policy.verdict import Request, judge

Build = Callable[..., Policy]


def matching(policy: Policy, server: str, name: str, action: str) -> list[str]:
    return [rule.id for rule in policy.rules("a") if rule.matches(server, name, action) and not rule.shadow]


@settings(max_examples=60, deadline=None)
@given(rule_lists(), rule_lists(), rule_lists(), requests)
def test_every_request_decided_otherwise_is_among_the_changes(
    build: Build, own: Rules, other: Rules, shared: Rules, request: tuple[str, str, Any, dict[str, Any]]
) -> None:
    old, new = build(*own, roles={"shared": shared}), build(*other, roles={"shared": shared})
    server, name, action, arguments = request
    asked = Request("a", action, server, name, arguments if action == "call" else {})
    before, after = words(judge(old, asked)), words(judge(new, asked))
    region = [matching(policy, server, name, action) for policy in (old, new)]
    told = {
        (words(change.before), words(change.after))
        for change in differences(old, new, SERVERS).changes
        if (each := change.object).server == server and each.action == action
        if [matching(policy, each.server, each.name, each.action) for policy in (old, new)] == region
    }
    assert before == after or (before, after) in told


@settings(max_examples=30, deadline=None)
@given(rule_lists(), rule_lists())
def test_the_arguments_of_every_change_show_it(build: Build, own: Rules, other: Rules) -> None:
    old, new = build(*own), build(*other)
    for change in differences(old, new, SERVERS).changes:
        each = change.object
        request = Request("a", each.action, each.server, each.name, change.example)
        assert (judge(old, request), judge(new, request)) == (change.before, change.after)
        assert words(change.before) != words(change.after)


def only(old: Policy, new: Policy) -> Change:
    (change,) = differences(old, new, SERVERS).changes
    return change


def test_a_policy_does_not_differ_from_itself_nor_from_one_written_in_another_order(build: Build) -> None:
    one, two = ("allow", {"tool": "payment/*"}), ("deny", {"tool": "*/delete_*"})
    found = differences(build(one, two), build(two, one), SERVERS)
    assert not found
    assert found.unshown == ()


@pytest.mark.parametrize(
    ("old", "new", "example"),
    [
        ({"maximum": 5}, {"maximum": 6}, 6),
        ({"maximum": 5}, {"exclusiveMaximum": 5}, 5),
        ({"minimum": 5, "maximum": 9}, {"minimum": 4, "maximum": 9}, 4),
        ({"type": "number"}, {"type": "integer"}, 1.5),
        ({"multipleOf": 2}, {"type": "number"}, 1.5),
        ({"enum": ["USD", "EUR"]}, {"enum": ["USD"]}, "EUR"),
        ({"const": 1}, {"const": True}, True),
        ({"const": "a"}, {"enum": ["a", "b"]}, "b"),
        ({"pattern": "^ORD-[0-9]{4}$"}, {"pattern": "^(ORD|INV)-[0-9]{4}$", "minLength": 9}, "ORD-0000"),
        ({"maxLength": 3}, {"maxLength": 4}, "aaaa"),
        ({"format": "email"}, {"format": "ipv4"}, "192.0.2.1"),
        ({"items": {"enum": [1]}}, {"items": {"enum": [1, 2]}}, [2]),
        ({"items": {"type": "integer"}, "maxItems": 2}, {"items": {"type": "integer"}, "maxItems": 1}, [0, 1]),
        ({"properties": {"a": {"maximum": 1}}}, {"properties": {"a": {"maximum": 2}}}, {"a": 2}),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, {"const": 1}, 2),
        ({"not": {"enum": ["a"]}, "type": "string"}, {"type": "string"}, "a"),
    ],
)
def test_a_condition_moved_is_shown_at_its_bound(build: Build, old: Any, new: Any, example: Any) -> None:
    sides = [build(("allow", {"tool": "payment/pay", "where": {"x": condition}})) for condition in (old, new)]
    shown = [change.example["x"] for change in differences(*sides, SERVERS).changes]
    assert example in shown


def test_arguments_beyond_all_combinations_are_varied_one_at_a_time(build: Build) -> None:
    where = {name: {"minimum": 1, "maximum": 9} for name in "abcdef"}
    old = build(("allow", {"tool": "payment/pay", "where": where}))
    new = build(("allow", {"tool": "payment/pay", "where": {**where, "d": {"minimum": 1, "maximum": 8}}}))
    change = only(old, new)
    assert change.example["d"] in (9, 8.5)
    assert (words(change.before), words(change.after)) == ("allow", "deny (denied)")


def test_a_difference_that_no_sample_shows_is_told_as_such(build: Build) -> None:
    patterns = ("^a[bc]?(?:x|y){2}.*z$", "^a[bc]?(?:x|w){2}.*z$")
    old, new = (
        build(("allow", {"tool": "payment/pay", "where": {"x": {"allOf": [{"pattern": pattern}, {"minLength": 40}]}}}))
        for pattern in patterns
    )
    found = differences(old, new, SERVERS)
    assert not found
    assert [(agent, each.target) for agent, each in found.unshown] == [("a", "payment/pay")]


def test_a_glob_that_widens_is_told_as_the_glob_and_known_tools_by_name(build: Build) -> None:
    old = build(("allow", {"tool": "payment/get"}))
    new = build(("allow", {"tool": "payment/get"}), ("allow", {"tool": "payment/*"}))
    assert [each.object.target for each in differences(old, new, SERVERS).changes] == ["payment/*"]
    known = differences(old, new, SERVERS, {"payment": ["get", "charge"]})
    assert [each.object.target for each in known.changes] == ["payment/*", "payment/charge"]
    assert all(each.always for each in known.changes)


def test_terms_of_an_allowed_call_are_part_of_its_decision(build: Build) -> None:
    plain = {"tool": "payment/pay"}
    limited, gated = {**plain, "limit": ["1/minute"]}, {**plain, "gate": {"type": "approval"}}
    assert words(only(build(("allow", plain)), build(("allow", limited))).after) == 'allow, limit ["1/minute"]'
    assert words(only(build(("allow", plain)), build(("allow", gated))).after) == 'gate {"type": "approval"}'


def test_a_rule_in_shadow_changes_nothing(build: Build) -> None:
    plain = ("allow", {"tool": "payment/pay"})
    assert not differences(build(plain), build(plain, ("deny", {"tool": "*/*", "shadow": True})), SERVERS)
