"""Names, words, commands, e-mail addresses, markup, patterns, secrets and money: what is taken and what is not."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import ArgumentRule
from gateway.facts import Argument, Kind
from gateway.rules import compile_rules

TAKEN: dict[Kind, list[Any]] = {
    "name": ["a", "ORD-7001", "user@shop.example", "v1.2:beta", "9" * 128, ["a", "b"], [], None],
    "shell_word": ["a.txt", "/usr/bin/env", "A=b", "50%", "a,b+c@d:e", ["x", "y"], None],
    "argv": [["git", "log", "--oneline"], ["echo", "a b; $(rm) `id` && > x"], ["ls", ""], None],
    "email": ["a@example.com", "first.last+tag@sub.example.co", "a@localhost", "x" * 64 + "@example.com", ["a@b.c"]],
    "regex": ["^a+b*$", r"\d{4}-\d{2}", "(foo|bar)+", "[(+*]+", r"\(a+\)+", "a{2,}", "(ab+c)", None],
    "secret": ["", "any \u202e thing \x00", None],
    "money": [0, 1, 19_900, 10**15, None],
    "text": ["'; DROP TABLE t;--", {"a": ["b", {"c": "d"}]}, 7, 1.5, True, None],
}
REFUSED: dict[Kind, list[Any]] = {
    "name": ["", "-a", ".a", "a b", "a\n", "a/b", "gr\u00fc\u00dfe", "x" * 129, 7, {"a": 1}, ["a", 7], [["a"]], True],
    "shell_word": ["", "-rf", "a b", "a;b", "$HOME", "`id`", "a\n", "a|b", "a>b", "*", "~", "'a'", 7],
    "argv": ["git log", [], [""], ["ls", 7], ["a\x00b"], ["a", "b\nc"], ["a\x1b[31m"], {"a": 1}, [["a"]]],
    "email": ["a", "@b", "a@", "A <a@b.c>", "a@b.c, d@e.f", "a@b.c\nBcc: d@e.f", "a b@c.d", "a@-b.c", "a@b..c",
              "x" * 65 + "@example.com", "a@" + ".".join(["x" * 60] * 5), 7],
    "regex": ["(", "(a+)+", "(a*)*b", "((a+)b?)+", "(a{2,})*", "(?=a)", r"(a)\1", "x" * 1001, "a{1000}{1000}", 7],
    "html": [7, {"a": "b"}],
    "secret": [7, ["a"], {"a": "b"}],
    "money": [-1, 10**15 + 1, 1.0, 0.5, "100", True, False, [1]],
    "text": ["\x1b[31m", {"a": ["b\u202ec"]}, {"k\x00": 1}],
}  # fmt: skip


def rule(kind: Kind, **options: Any) -> ArgumentRule:
    return compile_rules({"it": Argument(kind=kind, **options)})["it"]


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in TAKEN.items() for value in values])
def test_what_is_of_its_kind_is_sent_on_as_it_is(kind: Kind, value: Any) -> None:
    assert rule(kind)(value) == value


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in REFUSED.items() for value in values])
def test_what_is_of_no_such_kind_is_refused_in_words_that_do_not_quote_it(kind: Kind, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^must be ") as refused:
        rule(kind)(value)
    assert len(str(value)) < 4 or str(value) not in str(refused.value)


def test_every_kind_has_a_rule_and_refuses_what_is_no_value_of_any() -> None:
    for kind in Kind.__args__:  # type: ignore[attr-defined]
        made = rule(kind, **({"dialect": "sqlite"} if kind == "sql" else {}))
        if kind != "text":
            with pytest.raises(ValueError, match=r"^must be "):
                made({"an": "object"})


@pytest.mark.parametrize("kind", ["name", "shell_word", "email", "html", "regex", "sql", "url", "path", "argv"])
def test_no_kind_but_secret_takes_hidden_text(kind: Kind) -> None:
    made = rule(kind, **({"dialect": "sqlite"} if kind == "sql" else {}))
    hidden = "select 'a\U000e0061\U000e0062'"
    with pytest.raises(ValueError, match=r"^must be "):
        made([hidden] if kind == "argv" else hidden)


def test_a_command_has_to_be_one_of_those_declared() -> None:
    made = rule("argv", commands=("git", "ls"))
    assert made(["git", "push"]) == ["git", "push"]
    for words in (["rm"], ["/usr/bin/git"], ["git "], ["GIT"]):
        with pytest.raises(ValueError, match="git or ls"):
            made(words)


def test_markup_is_sent_on_without_what_runs() -> None:
    clean = rule("html")
    assert clean("<p>Hi <b>Ann</b></p>") == "<p>Hi <b>Ann</b></p>"
    hostile = '<p onclick=x>a<script>b</script><a href="javascript:c">d</a><iframe src=e></iframe><svg onload=f></p>'
    cleaned = clean(hostile)
    assert not any(word in cleaned for word in ("script", "onclick", "onload", "iframe"))
    assert clean(cleaned) == cleaned


def test_a_kind_applies_to_each_string_of_a_list() -> None:
    assert rule("html")(["<b>a</b>", "<script>b</script>"]) == ["<b>a</b>", ""]


@given(st.text("ab(+*)?|[]\\{,}19", max_size=40))
def test_any_pattern_is_judged_without_a_crash_and_in_no_time(pattern: str) -> None:
    started = time.process_time()
    with suppress(ValueError):
        assert rule("regex")(pattern) == pattern
    assert time.process_time() - started < 1


@given(st.emails())
def test_addresses_of_people_are_taken(address: str) -> None:
    domain = address.rpartition("@")[2]
    if len(address) <= 254 and domain.isascii():
        assert rule("email")(address) == address


def test_a_gateway_that_declares_no_such_argument_loads_none_of_their_parsers() -> None:
    code = (
        "import sys, gateway.app\n"
        "from gateway.rules import compile_rules\n"
        "from gateway.facts import Argument\n"
        "compile_rules({'a': Argument(kind='name'), 'b': Argument(kind='path'), 'c': Argument(kind='regex')})\n"
        "sys.exit(', '.join({'sqlglot', 'ada_url', 'nh3'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
