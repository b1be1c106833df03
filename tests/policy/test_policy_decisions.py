"""What a loaded policy answers, rule by rule."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from policy_files import SERVERS, page

from gateway.policy import Policy, load
from gateway.policy import grant as grant_module
from gateway.policy.rules import seg

Build = Callable[..., Policy]

CHARGE = ("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 500}}})


@pytest.mark.parametrize(
    ("target", "server", "name", "expected"),
    [
        ("payment/charge", "payment", "charge", True),
        ("payment/charge", "payment", "charge_all", False),
        ("payment/charge", "payment", "Charge", False),
        ("payment/charge", "payment", "charge\n", False),
        ("payment/charge", "payment", " charge", False),
        ("payment/charge", "payment", "", False),
        ("payment/charge", "", "charge", False),
        ("payment/charge", "billing", "charge", False),
        ("payment/*", "payment", "refund", True),
        ("payment/*", "payment", "refund\n", False),
        ("payment/*", "payment", "refund\u200b", False),
        ("payment/*", "payment", "", False),
        ("payment/*", "payments", "refund", False),
        ("payment/ch*", "payment", "charge", True),
        ("payment/ch*", "payment", "ch", True),
        ("payment/ch*", "payment", "refund", False),
        ("payment/ch*", "payment", "recharge", False),
        ("*/charge", "billing", "charge", True),
        ("*/*", "records", "anything", True),
        ("pay*/charge", "payment", "charge", True),
        ("payment/c.arge", "payment", "charge", False),
    ],
)
def test_a_rule_matches_names_exactly_or_up_to_one_trailing_star(
    build: Build, target: str, server: str, name: str, expected: bool
) -> None:
    policy = build(("allow", {"tool": target}))
    assert policy.decide("a", server, name, "call", {}).allowed is expected
    assert policy.visible("a", server, name, "call") is expected


@pytest.mark.parametrize(
    ("rule", "action", "name", "expected"),
    [
        ({"resource": "files/file:///docs/*"}, "read", "file:///docs/a/b?c=d", True),
        ({"resource": "files/file:///docs/*"}, "read", "file:///secret", False),
        ({"resource": "files/file:///docs/*"}, "call", "file:///docs/a", False),
        ({"resource": "files/file:///docs/a?x[]={y}"}, "read", "file:///docs/a?x[]={y}", True),
        ({"prompt": "files/greet"}, "get", "greet", True),
        ({"prompt": "files/greet"}, "call", "greet", False),
        ({"tool": "files/*"}, "read", "file:///docs/a", False),
        ({"tool": "files/*"}, "get", "greet", False),
        ({"tool": "files/*"}, "delete", "greet", False),
    ],
)
def test_a_rule_speaks_of_its_own_kind_of_object_only(
    build: Build, rule: dict[str, str], action: Any, name: str, expected: bool
) -> None:
    assert build(("allow", rule)).decide("a", "files", name, action).allowed is expected


def test_nothing_is_allowed_that_no_rule_allows(build: Build) -> None:
    decision = build(("allow", {"tool": "payment/charge"})).decide("a", "payment", "refund", "call", {})
    assert (decision.allowed, decision.rule) == (False, None)


def test_an_unknown_agent_may_do_and_see_nothing(build: Build) -> None:
    policy = build(("allow", {"tool": "*/*"}))
    assert not policy.decide("b", "payment", "charge", "call", {}).allowed
    assert not policy.visible("b", "payment", "charge", "call")
    assert policy.rules("b") == []


def test_an_agent_that_denies_all_may_do_nothing_not_even_with_empty_names(build: Build) -> None:
    policy = build(deny_all=True)
    for server, name in (("payment", "charge"), ("", ""), ("*", "*")):
        assert not policy.decide("a", server, name, "call", {}).allowed
    assert not policy.decide("", "", "", "", {}).allowed


def test_a_deny_overrides_every_allow_and_is_named(build: Build) -> None:
    policy = build(
        ("allow", {"tool": "*/*"}), ("allow", {"tool": "payment/delete_all"}), ("deny", {"tool": "*/delete_*"})
    )
    decision = policy.decide("a", "payment", "delete_all", "call", {})
    assert (decision.allowed, decision.rule) == (False, "a.toml:deny[0]")
    assert not policy.visible("a", "payment", "delete_all", "call")


def test_a_deny_in_a_role_overrides_an_allow_of_the_agent(build: Build) -> None:
    policy = build(("allow", {"tool": "*/*"}), roles={"careful": [("deny", {"tool": "*/delete_*"})]})
    decision = policy.decide("a", "records", "delete_row", "call", {})
    assert (decision.allowed, decision.rule) == (False, "roles/careful.toml:deny[0]")


def test_a_role_grants_its_rules_and_its_file_is_named(build: Build) -> None:
    policy = build(roles={"reader": [("allow", {"tool": "records/get"})]})
    decision = policy.decide("a", "records", "get", "call", {})
    assert (decision.allowed, decision.rule) == (True, "roles/reader.toml:allow[0]")
    assert [(rule.id, rule.subject) for rule in policy.rules("a")] == [("roles/reader.toml:allow[0]", "role:reader")]


def test_a_role_of_an_agents_own_name_is_not_granted_unless_listed(write: Any) -> None:
    files = {
        "a.toml": page("agent", "a", [("allow", {"tool": "records/get"})]),
        "b.toml": page("agent", "b", [], ["a"]),
        "roles/a.toml": page("role", "a", [("allow", {"tool": "payment/charge"})]),
    }
    policy = load(write(files), SERVERS)
    assert not policy.decide("a", "payment", "charge", "call", {}).allowed
    assert not policy.decide("b", "records", "get", "call", {}).allowed
    assert policy.decide("b", "payment", "charge", "call", {}).allowed


@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_the_first_rule_of_its_effect_in_the_file_is_the_one_named(build: Build, effect: str) -> None:
    everything = ("allow", {"tool": "*/*"})
    policy = build((effect, {"tool": "payment/*"}), (effect, {"tool": "payment/charge"}), everything)
    assert policy.decide("a", "payment", "charge", "call", {}).rule == f"a.toml:{effect}[0]"


@pytest.mark.parametrize(("value", "pattern"), [("", "*"), ("", ""), ("a", ""), ("", "a")])
def test_nothing_empty_ever_matches(value: str, pattern: str) -> None:
    assert not seg(value, pattern)


def test_an_allow_with_a_condition_holds_for_fitting_arguments_only(build: Build) -> None:
    policy = build(CHARGE)
    assert policy.decide("a", "payment", "charge", "call", {"amount": 500}).rule == "a.toml:allow[0]"
    assert not policy.decide("a", "payment", "charge", "call", {"amount": 501}).allowed


def test_a_call_decided_without_arguments_is_decided_with_empty_ones(build: Build) -> None:
    policy = build(CHARGE)
    assert policy.decide("a", "payment", "charge", "call") == policy.decide("a", "payment", "charge", "call", {})
    assert not policy.decide("a", "payment", "charge", "call").allowed


def test_a_tool_is_visible_when_some_arguments_could_be_allowed(build: Build) -> None:
    assert build(CHARGE).visible("a", "payment", "charge", "call")


def test_a_deny_with_a_condition_does_not_hide_the_tool(build: Build) -> None:
    policy = build(
        ("allow", {"tool": "payment/charge"}), ("deny", {"tool": "payment/*", "where": {"test": {"const": True}}})
    )
    assert policy.visible("a", "payment", "charge", "call")
    assert policy.decide("a", "payment", "charge", "call", {"test": False}).allowed
    assert policy.decide("a", "payment", "charge", "call", {"test": True}).rule == "a.toml:deny[0]"


def test_a_refusal_says_which_condition_failed_and_what_to_do(build: Build) -> None:
    text = build(CHARGE).decide("a", "payment", "charge", "call", {"amount": 900}).text
    assert "amount: 900 is greater than the maximum of 500" in text
    assert "Change the arguments" in text


def test_a_refusal_by_a_deny_names_the_arguments_it_is_about(build: Build) -> None:
    deny = ("deny", {"tool": "payment/charge", "where": {"amount": {"minimum": 100}, "note": {"pattern": "x"}}})
    text = build(("allow", {"tool": "payment/charge"}), deny).decide("a", "payment", "charge", "call", {}).text
    assert "amount, note" in text


def test_a_refusal_never_repeats_text_of_the_caller_nor_grows_with_it(build: Build) -> None:
    where = {f"arg{index}": {"enum": ["x" * 300]} for index in range(9)}
    policy = build(("allow", {"tool": "payment/charge", "where": where}))
    text = policy.decide("a", "payment", "charge", "call", dict.fromkeys(where, "tok_secret" * 100000)).text
    assert "tok_secret" not in text
    assert len(text) < 1000


@pytest.mark.parametrize(
    "rules",
    [
        [("allow", {"tool": "records/get"})],
        [("allow", {"tool": "*/*"}), ("deny", {"tool": "payment/charge"})],
        [("deny", {"tool": "payment/charge", "where": {"amount": {"minimum": 1}}}), ("allow", {"tool": "records/get"})],
    ],
)
def test_a_hidden_tool_is_refused_in_the_words_of_an_absent_one(build: Build, rules: list[Any]) -> None:
    policy = build(*rules)
    hidden = policy.decide("a", "payment", "charge", "call", {"amount": 5})
    absent = build(("allow", {"tool": "records/get"})).decide("a", "billing", "nothing", "call", {})
    assert hidden.text == absent.text
    assert not any(word in hidden.text for word in ("payment", "charge", "records", "amount"))


def test_what_is_remembered_of_requests_is_bounded(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_module, "MAX_MATCHES", 3)
    monkeypatch.setattr(grant_module, "MAX_HOLDING", 4)
    rules = [("allow", {"tool": "payment/*", "where": {f"x{index}": {"const": True}}}) for index in range(6)]
    policy = build(*rules, *(("deny", {"tool": f"payment/no{index}"}) for index in range(9)))
    for index in range(9):
        assert not policy.visible("a", "payment", f"no{index}", "call")
    for index in range(64):
        arguments = {f"x{bit}": bool(index >> bit & 1) for bit in range(6)}
        assert policy.decide("a", "payment", "charge", "call", arguments).allowed is (index > 0)
        assert not policy.decide("a", "payment", f"tool{index}" + "x" * 600, "call", {}).allowed
        assert policy.visible("a", "payment", f"tool{index}", "call")
        assert len(policy._matches) <= 3
        assert len(policy.grants["a"]._matches) <= 3
        matches = [*policy.grants["a"]._matches.values(), *filter(None, policy._matches.values())]
        assert all(len(match.decisions) <= 4 for match in matches)


def test_names_longer_than_any_real_one_are_decided_on_and_not_remembered(build: Build) -> None:
    policy = build(("allow", {"tool": "payment/x*"}), ("allow", {"tool": "payment/y*"}))
    longest, longer = "x" * (512 - len("payment")), "y" * (513 - len("payment"))
    assert policy.visible("a", "payment", longer, "call")
    assert policy.visible("a", "payment", longest, "call")
    assert [name for _, _, name, _ in policy._matches] == [longest]
    assert [match.example[1] for match in policy.grants["a"]._matches.values()] == [longest]


def test_an_agent_reaches_the_servers_that_an_allow_rule_names(build: Build) -> None:
    policy = build(("allow", {"tool": "pay*/charge"}), ("allow", {"prompt": "files/x"}), ("deny", {"tool": "*/x"}))
    for _ in range(2):
        assert [server for server in SERVERS if policy.reaches("a", server)] == ["payment", "files"]
    assert not policy.reaches("b", "payment")


def test_a_policy_and_its_decisions_cannot_be_changed(build: Build) -> None:
    policy = build(CHARGE)
    decision = policy.decide("a", "payment", "charge", "call", {"amount": 1})
    with pytest.raises(FrozenInstanceError):
        decision.allowed = False
    with pytest.raises(FrozenInstanceError):
        policy.digest = ""
    with pytest.raises(TypeError):
        policy.grants["b"] = policy.grants["a"]


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a#b", "p, a, b", "'", "a\\b", "a b", "é", "p.eft"])
def test_names_casbin_would_split_or_cut_in_a_csv_are_matched_whole(build: Build, name: str) -> None:
    policy = build(("allow", {"tool": "*/*"}), ("deny", {"tool": f"payment/{name}"}))
    assert policy.decide("a", "payment", name, "call", {}).rule == "a.toml:deny[0]"
    assert policy.decide("a", "payment", "a", "call", {}).allowed


def test_casbin_writes_nothing_about_a_request_to_the_log(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert not build(CHARGE).decide("a", "payment", "canary", "call", {"amount": 1}).allowed
    assert caplog.text == ""


def test_the_digest_changes_with_every_rule_and_not_with_the_wording(build: Build) -> None:
    allow = ("allow", {"tool": "payment/charge"})
    digest = build(allow).digest
    assert build(allow, description="Other words.").digest == digest
    changed = [
        build(CHARGE),
        build(("allow", {"tool": "payment/*"})),
        build(allow, ("deny", {"tool": "records/*"})),
        build(allow, roles={"reader": [("allow", {"tool": "records/get"})]}),
        build(("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 501}}})),
    ]
    assert len({digest, *(policy.digest for policy in changed)}) == len(changed) + 1
