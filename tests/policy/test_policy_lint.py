"""What goes wrong with policies in practice is warned of, with place and fix; what is well is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from policy_files import SERVERS, page
from random_policies import Rules, rule_lists

from gateway.policy import Policy, load
from gateway.policy.contradiction import contradiction
from gateway.policy.differences import differences
from gateway.policy.lint import lint, lint_tools

Build = Callable[..., Policy]
Write = Callable[[Mapping[str, str | bytes]], Path]
BOUND = {"bind": {"customer": "claims.customer"}}
DELETE = {"delete": {"annotations": {"destructiveHint": True}}}


def keys(policy: Policy) -> list[str]:
    return [problem.key for problem in lint(policy)]


def test_a_plain_policy_has_no_warning(build: Build) -> None:
    rules = [("allow", {"tool": "payment/get_*"}), ("allow", {"tool": "payment/pay"}), ("deny", {"tool": "*/delete_*"})]
    assert lint(build(*rules)) == []


@pytest.mark.parametrize("deny", ["payment/delete_all", "payment/delete_*", "payment/*", "*/delete_all", "pay*/d*"])
def test_an_allow_that_a_deny_always_overrides_is_warned_of(build: Build, deny: str) -> None:
    policy = build(("allow", {"tool": "payment/delete_all"}), ("deny", {"tool": deny}))
    (problem,) = lint(policy)
    assert problem.file.endswith("a.toml:4")
    assert problem.key == "allow[0]"
    assert "a.toml:deny[0]" in problem.message


@pytest.mark.parametrize(
    "deny",
    [
        {"tool": "payment/delete_all", "where": {"x": {"maximum": 1}}},
        {"tool": "payment/delete_a"},
        {"resource": "payment/*"},
        {"tool": "*/delete_*", "shadow": True},
    ],
)
def test_an_allow_that_is_overridden_at_times_is_not(build: Build, deny: dict[str, Any]) -> None:
    assert lint(build(("allow", {"tool": "payment/delete_*"}), ("deny", deny))) == []


def test_a_rule_that_another_covers_is_warned_of_once(build: Build) -> None:
    narrow = {"tool": "payment/pay", "where": {"x": {"maximum": 1}}}
    assert keys(build(("allow", {"tool": "payment/*"}), ("allow", narrow))) == ["allow[1]"]
    assert keys(build(("allow", narrow), ("allow", {"tool": "payment/pay"}))) == ["allow[0]"]
    assert keys(build(("allow", narrow), ("allow", {**narrow, "tool": "payment/p*"}))) == ["allow[0]"]
    same = build(("allow", {"tool": "payment/pay"}), roles={"r": [("allow", {"tool": "payment/pay"})]})
    assert keys(same) == ["allow[0]"]
    assert "roles" in lint(same)[0].file


def test_a_rule_on_other_terms_is_not_superfluous(build: Build) -> None:
    limited = {"tool": "payment/pay", "limit": ["1/minute"]}
    assert lint(build(("allow", limited), ("allow", {"tool": "payment/*"}))) == []


def test_a_rule_that_comes_before_one_on_other_terms_is_not_superfluous(build: Build) -> None:
    """Without it calls would be allowed by the second rule, and the caller would choose the customer."""
    bound, free = {"tool": "payment/get", **BOUND}, {"tool": "payment/get"}
    wide = {"tool": "payment/*", **BOUND}
    assert keys(build(("allow", bound), ("allow", free), ("allow", wide))) == []
    assert keys(build(("allow", bound), ("allow", wide), ("allow", free))) == ["allow[0]"]
    assert keys(build(("allow", wide), ("allow", free), ("allow", bound))) == ["allow[2]"]
    assert keys(build(("allow", bound), ("allow", {"tool": "payment/pay"}), ("allow", wide))) == ["allow[0]"]


def test_a_rule_of_a_role_has_to_be_idle_for_every_agent(write: Write) -> None:
    role = page("role", "r", [("allow", {"tool": "payment/pay"})])
    strict = page("agent", "a", [("deny", {"tool": "payment/*"})], ["r"])
    files = {"roles/r.toml": role, "a.toml": strict}
    assert keys(load(write(files), SERVERS)) == ["allow[0]"]
    assert keys(load(write({**files, "b.toml": page("agent", "b", [], ["r"])}), SERVERS)) == []


@settings(max_examples=60, deadline=None)
@given(rule_lists())
@example(
    [
        ("allow", {"tool": "payment/get_all", **BOUND}),
        ("allow", {"tool": "payment/get_all"}),
        ("allow", {"tool": "payment/*", **BOUND}),
    ]
)
def test_taking_an_idle_rule_away_changes_no_decision(build: Build, rules: Rules) -> None:
    policy = build(*rules)
    idle = {problem.key for problem in lint(policy) if "where" not in problem.key}
    ids = {rule.id.partition(":")[2]: rule for rule in policy.rules("a")}
    for key in sorted(idle):
        effect, place = key.rstrip("]").split("[")
        assert key in ids
        number = [index for index, (each, _) in enumerate(rules) if each == effect][int(place)]
        rest = [rule for index, rule in enumerate(rules) if index != number]
        if any(each == "allow" for each, _ in rest):
            assert not differences(policy, build(*rest), SERVERS)


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 5, "maximum": 4},
        {"exclusiveMinimum": 5, "maximum": 5},
        {"minimum": 5, "exclusiveMaximum": 5},
        {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 5},
        {"enum": ["a", "b"], "const": "c"},
        {"enum": [1, 2], "type": "string"},
        {"const": 9, "maximum": 5},
        {"minLength": 4, "maxLength": 3},
        {"minItems": 4, "maxItems": 3},
        {"anyOf": [{"minimum": 2, "maximum": 1}, {"const": "a", "maxLength": 0}]},
        {"allOf": [{"type": "string"}, {"minLength": 4, "maxLength": 3}]},
    ],
)
def test_a_condition_that_nothing_meets_is_warned_of(build: Build, schema: dict[str, Any]) -> None:
    assert contradiction(schema)
    (problem,) = lint(build(("allow", {"tool": "payment/pay", "where": {"x": schema}})))
    assert problem.key == "allow[0].where.x"
    assert problem.message.startswith("no value of x can ever fit: ")


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 5, "maximum": 5},
        {"exclusiveMinimum": 4, "exclusiveMaximum": 5},
        {"enum": ["a", "b"], "const": "b"},
        {"minLength": 3, "maxLength": 3},
        {"anyOf": [{"minimum": 2, "maximum": 1}, {"const": "a"}]},
        {},
    ],
)
def test_a_condition_that_something_meets_is_not(schema: dict[str, Any]) -> None:
    assert contradiction(schema) == ""


def test_an_agent_with_more_than_twelve_tools_is_warned_of(build: Build) -> None:
    policy = build(("allow", {"tool": "records/get"}), ("allow", {"tool": "payment/*"}))
    tools: dict[str, dict[str, Any]] = {"payment": {f"t{n}": {} for n in range(11)}, "records": {"get": {}, "put": {}}}
    assert lint_tools(policy, tools) == []
    tools["payment"]["t11"] = {}
    (problem,) = lint_tools(policy, tools)
    assert problem.key == "allow[1]"
    assert "sees 13 tools" in problem.message


def test_a_destructive_tool_without_gate_or_limit_is_warned_of(build: Build) -> None:
    (problem,) = lint_tools(build(("allow", {"tool": "payment/*"})), {"payment": DELETE})
    assert "payment/delete" in problem.message
    for terms in ({"gate": {"type": "approval"}}, {"limit": ["1/day"]}):
        assert lint_tools(build(("allow", {"tool": "payment/*", **terms})), {"payment": DELETE}) == []
    hidden = build(("allow", {"tool": "payment/*"}), ("deny", {"tool": "*/delete"}))
    assert lint_tools(hidden, {"payment": DELETE}) == []
    harmless = {"delete": {"annotations": {"destructiveHint": True, "readOnlyHint": True}}, "get": {}}
    assert lint_tools(build(("allow", {"tool": "payment/*"})), {"payment": harmless}) == []
    assert lint_tools(build(("allow", {"tool": "toolgate/*"})), {"toolgate": DELETE}) == []


def test_the_gateways_own_tools_need_no_limit(build: Build) -> None:
    assert lint_tools(build(("allow", {"tool": "toolgate/delete"})), {"toolgate": DELETE}) == []


def test_a_published_name_over_64_characters_is_warned_of_where_someone_sees_it(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/*"}))
    names = {"n" * 55: {}, "m" * 56: {}}
    (problem,) = lint_tools(policy, {"payment": names, "records": names})
    assert f"payment__{'m' * 56}: 65 characters" in problem.message
