"""Tables of tests: what is decided is compared with what is expected, and what is not tested is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from policy_files import SERVERS, page, toml

from gateway.errors import ConfigError, Problem
from gateway.policy import load, trials

Write = Callable[[Mapping[str, str | bytes]], Path]

A = page(
    "agent",
    "a",
    [
        ("allow", {"tool": "payment/charge", "where": {"amount": {"maximum": 5}}}),
        ("allow", {"tool": "payment/refund"}),
        ("allow", {"resource": "files/doc:*"}),
    ],
)
B = page("agent", "b", [("allow", {"prompt": "files/summary"})])
CHARGE = {"agent": "a", "tool": "payment/charge", "arguments": {"amount": 5}, "expect": "allow"}
FROM_FIVE = {"gate": {"type": "approval", "when": {"n": {"minimum": 5}}}}


def table(*tests: Mapping[str, object]) -> str:
    return "\n".join(
        "\n".join(["[[test]]", *(f"{key} = {toml(value)}" for key, value in test.items())]) for test in tests
    )


def tried(write: Write, text: str | bytes) -> tuple[list[Problem], Path]:
    folder = write({"a.toml": A, "b.toml": B, "tests.toml": text})
    return trials.run(load(folder, SERVERS), folder, SERVERS), folder


def test_a_folder_without_tests_has_no_problem(write: Write) -> None:
    folder = write({"a.toml": A})
    assert trials.run(load(folder, SERVERS), folder) == []


def test_the_file_of_tests_is_no_agent_and_no_warning(write: Write) -> None:
    policy = load(write({"a.toml": A, "tests.toml": table(CHARGE)}), SERVERS)
    assert (policy.agents, policy.warnings) == ({"a"}, ())


def test_a_folder_with_nothing_but_tests_has_no_agent(write: Write) -> None:
    with pytest.raises(ConfigError, match="holds no agent file"):
        load(write({"tests.toml": table(CHARGE)}), SERVERS)


def test_what_is_decided_as_expected_is_no_problem(write: Write) -> None:
    tests = [
        CHARGE,
        {**CHARGE, "rule": "a.toml:allow[0]", "why": "the most it may take"},
        {**CHARGE, "arguments": {"amount": 6}, "expect": "deny", "rule": "denied"},
        {"agent": "a", "tool": "payment/other", "expect": "deny", "rule": "not_found"},
        {"agent": "a", "resource": "files/doc:1", "expect": "allow"},
        {"agent": "b", "prompt": "files/summary", "expect": "allow"},
        {"agent": "b", "resource": "files/doc:1", "expect": "deny"},
    ]
    assert tried(write, table(*tests))[0] == []


def test_a_failure_tells_its_line_what_was_expected_and_which_rule_decided_where(write: Write) -> None:
    (problem,), folder = tried(write, table(CHARGE, {"agent": "a", "tool": "payment/refund", "expect": "deny"}))
    assert (problem.file, problem.key) == (f"{folder / 'tests.toml'}:6", "test[1]")
    assert "expects deny for a payment/refund; it is allow by a.toml:allow[1]" in problem.message
    assert f"{folder / 'a.toml'}:8" in problem.message


def test_the_right_outcome_for_the_wrong_reason_is_a_failure(write: Write) -> None:
    (problem,), _ = tried(write, table({**CHARGE, "arguments": {}, "expect": "deny", "rule": "not_found"}))
    assert "expects deny (not_found)" in problem.message
    assert "it is deny (denied)" in problem.message


@pytest.mark.parametrize(
    ("test", "key", "told"),
    [
        ({"agent": "c"}, "agent", "has no policy file"),
        ({"agent": 1}, "agent", "is not a string"),
        ({"tool": "payments/charge"}, "tool", 'did you mean "payment"?'),
        ({"tool": "payment"}, "tool", 'is not "server/name"'),
        ({"tool": "payment/*"}, "tool", "is a glob"),
        ({"tool": 3}, "tool", "is not a string"),
        ({"resource": "files/doc:1"}, "", "names more than one object"),
        ({"expect": "allowed"}, "expect", 'write "allow", "deny" or "gate"'),
        ({"expect": ["allow"]}, "expect", 'write "allow", "deny" or "gate"'),
        ({"expct": "allow"}, "expct", 'did you mean "expect"?'),
        ({"rule": "a.toml:allow[9]"}, "rule", "neither a rule of this agent nor a reason"),
        ({"rule": []}, "rule", "is not a string"),
        ({"arguments": []}, "arguments", "is not a table of JSON values"),
        ({"claims": "x"}, "claims", "is not a table of JSON values"),
    ],
)
def test_a_test_that_cannot_be_meant_so_is_a_problem_with_its_line_and_a_fix(
    write: Write, test: Mapping[str, object], key: str, told: str
) -> None:
    problems, folder = tried(write, table({**CHARGE, **test}))
    place, name = f"{folder / 'tests.toml'}:1", ".".join(filter(None, ("test[0]", key)))
    found = [problem for problem in problems if (problem.file, problem.key) == (place, name)]
    assert any(told in f"{problem.message} {problem.fix}" for problem in found), problems


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        (b"\xef\xbb\xbf[[test]]\n", "byte order mark"),
        ("[[test]\n", "is not TOML"),
        ("[[tests]]\n", "is not a key of this file"),
        ("test = []\n", "is not a list of tests"),
        ('test = ["a"]\n', "is not a list of tests"),
        (table(CHARGE) + "\nwhen = 2026-11-25\n", "is not a key of a test"),
        (table(CHARGE) + "\nclaims = { at = 2026-11-25 }\n", "is not a table of JSON values"),
        ('[[test]]\nagent = "a"\nresource = "files/doc:1"\narguments = {}\nexpect = "allow"', "on a tool only"),
    ],
)
def test_a_file_of_tests_is_read_as_strictly_as_a_policy(write: Write, text: str | bytes, told: str) -> None:
    problems, _ = tried(write, text)
    assert any(told in problem.message for problem in problems), problems


def test_rules_that_no_test_hits_and_agents_in_no_test_are_known(write: Write) -> None:
    folder = write({"a.toml": A, "b.toml": B, "tests.toml": table(CHARGE)})
    policy = load(folder, SERVERS)
    results = trials.trials(policy, trials.read(policy, folder))
    assert [rule.id for rule in results.unhit] == ["a.toml:allow[1]", "a.toml:allow[2]", "b.toml:allow[0]"]
    assert results.untested == ("b",)
    assert results.rules == 4
    assert results.gaps


@pytest.mark.parametrize(
    ("rule", "test", "decided"),
    [
        ({"gate": {"type": "approval"}}, {"expect": "gate"}, None),
        ({"gate": {"type": "approval"}}, {"expect": "allow"}, "gate by"),
        (
            FROM_FIVE,
            {"expect": "gate", "arguments": {"n": 5}},
            None,
        ),
        (
            FROM_FIVE,
            {"expect": "allow", "arguments": {"n": 4}},
            None,
        ),
        (FROM_FIVE, {"expect": "allow"}, "gate by"),
        ({"bind": {"c": "claims.c"}}, {"expect": "allow", "claims": {"c": "1"}}, None),
        ({"bind": {"c": "claims.c"}}, {"expect": "deny", "rule": "no_claim"}, None),
        ({"bind": {"c": "claims.c"}}, {"expect": "allow"}, "deny (no_claim) by"),
        ({"bind": {"c": "claims.c"}}, {"expect": "deny", "rule": "denied", "arguments": {"c": "2"}}, None),
        ({"bind": {"c": {"const": 1}}}, {"expect": "allow"}, None),
    ],
)
def test_gates_and_claims_are_part_of_what_is_expected(
    write: Write, rule: Mapping[str, object], test: Mapping[str, object], decided: str | None
) -> None:
    agent = page("agent", "a", [("allow", {"tool": "payment/pay", **rule})])
    folder = write({"a.toml": agent, "tests.toml": table({"agent": "a", "tool": "payment/pay", **test})})
    problems = trials.run(load(folder, SERVERS), folder, SERVERS)
    assert [problem.message.partition("it is ")[2].partition(" a.toml")[0] for problem in problems] == (
        [decided] if decided else []
    )
