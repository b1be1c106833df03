"""Casbin's own format for one agent: everything Casbin's reader would drop or misread is a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import casbin
import pytest
from policy_files import MODEL, SERVERS, page

from gateway.errors import ConfigError, Problem
from gateway.policy import Policy, load

Write = Callable[[Mapping[str, str | bytes]], Path]

GOOD = """\
# what agent a may do
p, a, payment, charge, call, allow
p, a, files, file:///docs/*, read, allow, -
p, a, files, greet, get, allow,

p,a,*,delete_*,call,deny
g, a, reader
"""
READER = page("role", "reader", [("allow", {"tool": "records/get", "where": {"id": {"minLength": 1}}})])


def problems(write: Write, text: str | bytes, **files: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(write({"a.csv": text, "roles/reader.toml": READER, **files}), SERVERS)
    assert all(problem.file and problem.key and problem.message and problem.fix for problem in caught.value.problems)
    return caught.value.problems


def loaded(write: Write, text: str) -> Policy:
    return load(write({"a.csv": text, "roles/reader.toml": READER}), SERVERS)


def test_a_csv_grants_what_its_lines_say(write: Write) -> None:
    policy = loaded(write, GOOD)
    assert policy.agents == {"a"}
    assert policy.warnings == ()
    assert policy.decide("a", "payment", "charge", "call", {}).rule == "a.csv:2"
    assert policy.decide("a", "files", "file:///docs/x", "read").rule == "a.csv:3"
    assert policy.decide("a", "files", "greet", "get").rule == "a.csv:4"
    assert policy.decide("a", "records", "get", "call", {"id": "7"}).rule == "roles/reader.toml:allow[0]"
    assert policy.decide("a", "payment", "delete_all", "call", {}).rule == "a.csv:6"
    assert not policy.decide("a", "payment", "refund", "call", {}).allowed
    assert {rule.place.rpartition(":")[2] for rule in policy.rules("a")} == {"2", "3", "4", "6"}


def test_rules_stand_as_in_a_toml_file_allows_before_denies(write: Write) -> None:
    policy = loaded(write, "p, a, *, delete_*, call, deny\ng, a, reader\ng, a, role:reader\n" + LINE)
    assert [rule.id for rule in policy.rules("a")] == ["a.csv:4", "a.csv:1", "roles/reader.toml:allow[0]"]


def test_casbins_own_reader_makes_the_same_rules_of_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "model.conf").write_text(MODEL.replace("act, eft, rule", "act, eft"))
    (tmp_path / "a.csv").write_text(GOOD)
    read = casbin.Enforcer(str(tmp_path / "model.conf"), str(tmp_path / "a.csv"))
    own = [
        [r.subject, r.server, r.name, r.action, r.effect] for r in loaded(write, GOOD).rules("a") if r.subject == "a"
    ]
    assert sorted(row[:5] for row in read.get_policy()) == sorted(own)


LINE = "p, a, payment, charge, call, allow"


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ("P, a, payment, charge, call, deny", "line", "neither p nor g"),
        ("p2, a, payment, charge, call, deny", "line", "neither p nor g"),
        ("g2, a, reader", "line", "neither p nor g"),
        (" p, a, payment, charge, call, deny", "line", "neither p nor g"),
        ('"p", a, payment, charge, call, deny', "line", "neither p nor g"),
        ("x", "line", "neither p nor g"),
        (",", "line", "neither p nor g"),
        ("p, a, payment, charge, call", "p", "5 columns"),
        ("p, a, payment, charge, call, deny, -, -", "p", "8 columns"),
        ("p, a, files, file:///a,b, read, allow, -", "p", "8 columns"),
        ("g, a", "g", "2 columns"),
        ("g, a, reader, domain", "g", "4 columns"),
        ("p, b, payment, charge, call, deny", "p.subject", '"a"'),
        ("p, role:reader, payment, charge, call, deny", "p.subject", '"a"'),
        ("p, , payment, charge, call, deny", "p.subject", '"a"'),
        ("g, b, reader", "g.subject", '"a"'),
        ("g, a, ", "g.role", "empty"),
        ("g, a, raeder", "roles", '"reader"'),
        ("p, a, payment, refund, call, Deny", "p.effect", '"deny"'),
        ("p, a, payment, refund, call, ", "p.effect", "neither"),
        ("p, a, payment, refund, call, deny # no", "p.effect", '"deny"'),
        ("p, a, payment, refund, Call, deny", "p.action", '"call"'),
        ("p, a, payment, refund, *, deny", "p.action", "no action"),
        ("p, a, paymnet, refund, call, deny", "p.tool", '"payment"'),
        ("p, a, pay/ment, refund, call, deny", "p.server", "slash"),
        ("p, a, , refund, call, deny", "p.tool", "name both"),
        ("p, a, payment, , call, deny", "p.tool", "name both"),
        ("p, a, payment, ref*nd, call, deny", "p.tool", "last character"),
        ("p, a, payment, refund?, call, deny", "p.tool", "glob"),
        ("p, a, payment, re\u200bfund, call, deny", "p.tool", "invisible"),
        ('p, a, payment, "refund", call, deny', "p", "quote"),
        ("p, a, payment, refund(x), call, deny", "p", "parenthesis"),
        ("p, a, files, x[1], read, deny", "p", "bracket"),
        ("p, a, payment, refund, call, allow, r.amount < 5", "p.cond", "TOML"),
        (LINE, "p", "repeats line 1"),
        (LINE + ", -", "p", "repeats line 1"),
    ],
)
def test_a_line_that_is_not_exactly_right_is_told_with_its_number(write: Write, line: str, key: str, says: str) -> None:
    (problem,) = problems(write, f"{LINE}\n{line}\n")
    assert problem.key == key
    assert says in f"{problem.message} {problem.fix}"
    assert key == "roles" or problem.file.endswith("a.csv:2")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"# nothing\n", "no line allows"),
        (b"p, a, payment, charge, call, deny\n", "no line allows"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "byte order mark"),
        (GOOD.encode() + b"# \xff\n", "not UTF-8"),
        (GOOD.encode() + b"# \x00\n", "U+0000"),
    ],
)
def test_a_file_that_is_not_plain_or_grants_nothing_is_refused(write: Write, content: bytes, says: str) -> None:
    assert any(says in problem.message for problem in problems(write, content))


def test_an_agent_with_two_files_is_refused(write: Write) -> None:
    both = {"a.toml": page("agent", "a", [("allow", {"tool": "payment/charge"})])}
    (problem,) = problems(write, GOOD, **both)
    assert "stands beside a.toml" in problem.message


def test_a_file_name_that_is_no_agent_name_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write({"A_b.csv": "p, A_b, payment, charge, call, allow\n"}), SERVERS)
    assert "rename the file" in caught.value.problems[0].fix


def test_a_csv_among_the_roles_is_not_read_and_that_is_told(write: Write) -> None:
    policy = load(write({"a.csv": LINE, "roles/x.csv": "p, x, payment, charge, call, allow"}), SERVERS)
    assert [Path(warning.file).name for warning in policy.warnings] == ["x.csv"]


def test_the_digest_covers_it(write: Write) -> None:
    texts = [LINE, LINE.replace("allow", "allow\np, a, payment, x, call, deny"), LINE + "\ng, a, reader", GOOD]
    assert len({loaded(write, text).digest for text in texts}) == len(texts)
    assert loaded(write, LINE).digest == loaded(write, LINE + "\n# a comment\n").digest


def test_lines_with_the_line_ends_of_windows_are_read_alike(write: Write) -> None:
    assert loaded(write, GOOD.replace("\n", "\r\n")).digest == loaded(write, GOOD).digest


def test_a_role_may_be_named_as_compiled_rules_name_it(write: Write) -> None:
    assert loaded(write, "g, a, role:reader\n").digest == loaded(write, "g, a, reader\n").digest
