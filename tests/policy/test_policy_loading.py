"""Policy files load whole and strictly, or not at all: every problem with its file, key and fix."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from policy_files import MODEL, SERVERS, only, page, problems

from gateway.policy import load
from gateway.policy.rules import nearest

Write = Callable[[Mapping[str, str | bytes]], Path]

GOOD = page("agent", "a", [("allow", {"tool": "payment/charge"})])


def rule(text: str) -> str:
    return f'agent = "a"\ndescription = "Tests."\n\n{text}\n'


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        (rule('[[alow]]\ntool = "payment/charge"\n[[allow]]\ntool = "payment/charge"'), "alow", '"allow"'),
        (rule('[[Deny]]\ntool = "payment/*"\n[[allow]]\ntool = "*/*"'), "Deny", '"deny"'),
        (rule('[[allow]]\ntool = "payment/charge"\neffect = "Deny"'), "allow[0].effect", "not a key of a rule"),
        (rule('[[allow]]\ntool = "payment/charge"\nlimits = ["1/minute"]'), "allow[0].limits", '"limit"'),
        (rule('[[allow]]\ntool = "payment/charge"\nShadow = true'), "allow[0].Shadow", '"shadow"'),
        (rule('[[allow]]\ntools = "payment/charge"'), "allow[0].tools", '"tool"'),
        (rule('[[allow]]\ntool = "payment/charge"\nprompt = "payment/x"'), "allow[0]", "exactly one"),
        (rule("[[allow]]\ntool = 5"), "allow[0].tool", "not a string"),
        (rule('[[allow]]\ntool = "*"'), "allow[0].tool", "name both"),
        (rule('[[allow]]\ntool = "payment"'), "allow[0].tool", "name both"),
        (rule('[[allow]]\ntool = "payment/"'), "allow[0].tool", "name both"),
        (rule('[[allow]]\ntool = "paymnet/charge"'), "allow[0].tool", '"payment"'),
        (rule('[[allow]]\ntool = "nothing*/charge"'), "allow[0].tool", "nothing*"),
        (rule('[[allow]]\nresource = "files/*/public"'), "allow[0].resource", "last character"),
        (rule('[[allow]]\ntool = "payment/**"'), "allow[0].tool", "last character"),
        (rule('[[allow]]\ntool = "*pay/charge"'), "allow[0].tool", "last character"),
        (rule('[[allow]]\ntool = "payment/charge?"'), "allow[0].tool", "glob"),
        (rule('[[allow]]\ntool = "payment/[a-z]*"'), "allow[0].tool", "glob"),
        (rule('[[allow]]\ntool = "payment/charge\\n"'), "allow[0].tool", "invisible"),
        (rule('[[allow]]\ntool = "payment/charge "'), "allow[0].tool", "blanks"),
        (rule('[[allow]]\ntool = "payment/ch\\u200barge"'), "allow[0].tool", "invisible"),
        (rule('[[allow]]\ntool = "payment/x"\n[[allow]]\ntool = "payment/x"'), "allow[1]", "repeats allow[0]"),
        (rule('allow = "payment/charge"'), "allow", "[[allow]]"),
        (rule('allow = ["payment/charge"]'), "allow", "[[allow]]"),
        (rule('[allow]\ntool = "payment/charge"'), "allow", "[[allow]]"),
        (rule('roles = "reader"'), "roles", "list of names"),
        (rule('roles = ["gone"]'), "roles", '"gone"'),
        (rule('deny_all = "yes"\n[[allow]]\ntool = "payment/x"'), "deny_all", "neither true nor false"),
        (rule('deny_all = true\n[[allow]]\ntool = "payment/x"'), "deny_all", "contradicts"),
        (rule('[[deny]]\ntool = "payment/x"'), "allow", "deny_all = true"),
        (rule(""), "allow", "deny_all = true"),
        (rule("deny_all = false"), "allow", "deny_all = true"),
        (GOOD.replace('agent = "a"', 'agent = "b"'), "agent", 'agent = "a"'),
        (GOOD.replace('agent = "a"', 'role = "a"\nagent = "a"'), "role", "not a key"),
        (GOOD.replace("Does what a does.", ""), "description", "sentence"),
        (GOOD.replace('"Does what a does."', '"Two\\nlines."'), "description", "one line"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_fix(write: Write, text: str, key: str, says: str) -> None:
    problem = next(each for each in problems(write({"a.toml": text})) if each.key == key)
    assert says in f"{problem.message} {problem.fix}"


@pytest.mark.parametrize(
    ("where", "key", "says"),
    [
        ("{}", "", "says nothing"),
        ("5", "", "says nothing"),
        ("{ amount = 500 }", ".amount", "maximum = 500"),
        ("{ amount = {} }", ".amount", "not a condition"),
        ("{ amount = { max = 5 } }", ".amount.max", "keyword"),
        ("{ amount = { Maximum = 5 } }", ".amount.Maximum", '"maximum"'),
        ('{ amount = { "$ref" = "#/x" } }', ".amount.$ref", "references"),
        ('{ amount = { "$ref" = "https://example.com" } }', ".amount.$ref", "references"),
        ("{ amount = { anyOf = [{ maximun = 5 }] } }", ".amount.anyOf[0].maximun", '"maximum"'),
        ("{ amount = { properties = { x = { iff = 1 } } } }", ".amount.properties.x.iff", "keyword"),
        ('{ amount = { maximum = "500" } }', ".amount.maximum", "number"),
        ("{ amount = { maximum = nan } }", ".amount.maximum", "number"),
        ("{ amount = { maximum = inf } }", ".amount.maximum", "number"),
        ("{ amount = { multipleOf = 0 } }", ".amount.multipleOf", "minimum of 0"),
        ("{ amount = { enum = [] } }", ".amount.enum", "list of values"),
        ('{ amount = { enum = "USD" } }', ".amount.enum", "list of values"),
        ("{ amount = { const = nan } }", ".amount.const", "JSON"),
        ("{ amount = { const = [1, nan] } }", ".amount.const", "JSON"),
        ("{ amount = { const = { a = 1, b = nan } } }", ".amount.const", "JSON"),
        ("{ amount = { enum = [2026-01-01] } }", ".amount.enum", "JSON"),
        ("{ amount = { anyOf = 5 } }", ".amount.anyOf", "array"),
        ("{ amount = { anyOf = [] } }", ".amount.anyOf", "item"),
        ("{ amount = { not = 5 } }", ".amount.not", "keywords"),
        ('{ amount = { type = "int" } }', ".amount.type", "anyOf"),
        ("{ amount = { type = 5 } }", ".amount.type", "anyOf"),
        ('{ amount = { type = "integer", minLength = 5 } }', ".amount.minLength", "`type`"),
        ('{ amount = { maximum = 5, pattern = "x" } }', ".amount", "different types"),
        ('{ amount = { type = "string", maximum = 5 } }', ".amount.maximum", "`type`"),
        ('{ amount = { pattern = "(" } }', ".amount.pattern", "regex"),
        ('{ amount = { pattern = "(?=a)" } }', ".amount.pattern", "look-around"),
        ('{ amount = { format = "emial" } }', ".amount.format", "Unknown format"),
        ('{ "" = { const = 1 } }', ".''", "argument name"),
        ("{ amount = " + "{ not = " * 17 + "{ const = 1 }" + " }" * 18, ".amount" + ".not" * 16, "deep"),
    ],
)
@pytest.mark.parametrize("effect", ["allow", "deny"])
def test_a_mistake_in_a_condition_is_named_with_its_place(
    write: Write, effect: str, where: str, key: str, says: str
) -> None:
    text = GOOD + f'\n[[{effect}]]\ntool = "payment/refund"\nwhere = {where}\n'
    problem = next(each for each in problems(write({"a.toml": text})) if says in f"{each.message} {each.fix}")
    assert problem.key == f"{effect}[{int(effect == 'allow')}].where{key}"
    assert problem.file.endswith("a.toml:7")


@pytest.mark.parametrize("kind", ["resource", "prompt"])
def test_a_condition_on_what_has_no_arguments_is_a_mistake(write: Write, kind: str) -> None:
    text = rule(f'[[allow]]\n{kind} = "files/x"\nwhere = {{ a = {{ const = 1 }} }}')
    assert only(write({"a.toml": text})).key == "allow[0].where"


@pytest.mark.parametrize(
    ("content", "says", "line"),
    [
        (b"", "is empty", ""),
        (b" \n\t\n", "is empty", ""),
        (b"\xef\xbb\xbf" + GOOD.encode(), "byte order mark", ":1"),
        (GOOD.encode() + b"# \xff\n", "not UTF-8", ":6"),
        (GOOD.encode("utf-16"), "not UTF-8", ":1"),
        (GOOD.encode() + b"# \x00\n", "U+0000", ":6"),
        (GOOD.encode() + "# \u202e\n".encode(), "U+202E", ":6"),
        (GOOD.encode()[:-5], "not TOML", ""),
        (GOOD.encode() + b"[[allow]\n", "not TOML", ":6"),
        (GOOD.encode() + b"agent = 1\nagent = 2\n", "not TOML", ":7"),
        (b"x = " + b"[" * 50_000, "nested too deeply", ""),
        (b"#" * (1024 * 1024 + 1), "larger than 1 MiB", ""),
    ],
)
def test_a_file_that_cannot_be_read_plainly_is_refused(write: Write, content: bytes, says: str, line: str) -> None:
    problem = only(write({"a.toml": content}))
    assert says in problem.message
    assert problem.file.endswith(f"a.toml{line}")


def test_a_file_of_exactly_the_largest_size_is_read(write: Write) -> None:
    comment = b"#" * (1024 * 1024 - len(GOOD.encode()))
    assert load(write({"a.toml": GOOD.encode() + comment}), SERVERS).agents == {"a"}


@pytest.mark.parametrize(
    ("word", "known", "fix"),
    [
        ("alow", ["deny", "allow"], 'did you mean "allow"?'),
        ("zzz", ["deny", "allow"], "use one of: allow, deny"),
        ("zzz", [], "use one of: (there is none)"),
    ],
)
def test_a_fix_names_the_nearest_word_or_all_there_are(word: str, known: list[str], fix: str) -> None:
    assert nearest(word, known) == fix


def test_a_truncated_file_never_loads_as_a_smaller_policy(write: Write) -> None:
    text = page("agent", "a", [("allow", {"tool": "*/*"}), ("deny", {"tool": "payment/charge"})])
    for end in range(text.index("[[deny]]") + 1, len(text) - 1):
        if text[:end].rstrip() != text[: text.index("[[deny]]")].rstrip():
            assert problems(write({"a.toml": text[:end]}))


def test_every_problem_of_every_file_is_listed_at_once(write: Write) -> None:
    files = {
        "a.toml": rule('[[allow]]\ntool = "nowhere/x"\nlimit = 1\n[[deny]]\ntool = "payment/**"'),
        "b.toml": b"",
        "roles/r.toml": 'role = "q"\ndescription = "Q."\n',
        "model.conf": MODEL.replace(" && r.act == p.act", ""),
    }
    keys = {(Path(problem.file.split(":")[0]).name, problem.key) for problem in problems(write(files))}
    expected = {
        ("a.toml", "allow[0].tool"),
        ("a.toml", "allow[0].limit"),
        ("a.toml", "deny[0].tool"),
        ("b.toml", "file"),
    }
    assert keys == expected | {("r.toml", "role"), ("r.toml", "allow"), ("model.conf", "matchers.m")}


@pytest.mark.parametrize("name", ["A", "1a", "a_b", "a" * 33, "a.b"])
def test_a_file_name_that_is_no_agent_name_is_refused(write: Write, name: str) -> None:
    text = page("agent", name, [("allow", {"tool": "payment/charge"})])
    assert "rename the file" in only(write({f"{name}.toml": text})).fix


def test_a_folder_without_agents_or_no_folder_at_all_does_not_load(write: Write, tmp_path: Path) -> None:
    assert "no agent file" in only(write({})).message
    assert "not a folder" in only(tmp_path / "nowhere").message


def test_a_symlink_out_of_the_folder_is_refused_and_one_within_is_read(write: Write, tmp_path: Path) -> None:
    outside = tmp_path / "a.toml"
    outside.write_text(GOOD)
    folder = write({})
    (folder / "a.toml").symlink_to(outside)
    assert "symlink out of" in problems(folder)[0].message
    inside = write({".data/a.toml": GOOD})
    (inside / "a.toml").symlink_to(".data/a.toml")
    assert load(inside, SERVERS).agents == {"a"}


def test_what_is_no_regular_file_is_refused_without_reading_it(write: Write) -> None:
    folder = write({"a.toml": GOOD})
    os.mkfifo(folder / "pipe.toml")
    (folder / "dir.toml").mkdir()
    (folder / "loop.toml").symlink_to("loop.toml")
    messages = [problem.message for problem in problems(folder)]
    assert messages == ["is not a regular file", "cannot be read (a loop of symlinks)", "is not a regular file"]


def test_a_role_no_agent_uses_and_a_file_nobody_reads_are_warnings(write: Write) -> None:
    used = page("role", "used", [("allow", {"tool": "records/get"})])
    idle = page("role", "idle", [("allow", {"tool": "records/get"})])
    files = {"a.toml": page("agent", "a", [], ["used"]), "roles/used.toml": used, "roles/idle.toml": idle}
    policy = load(write(files | {"b.tml": "x", "README.md": "x", ".swap": "x"}), SERVERS)
    assert [Path(warning.file).name for warning in policy.warnings] == ["b.tml", "idle.toml"]


@pytest.mark.parametrize(
    ("pattern", "warned"),
    [
        ("^a$", False),
        ("^(a|b)$", False),
        ("^(?:a)$", False),
        ("^[|]$", False),
        (r"^a\|b$", False),
        ("a", True),
        ("^a", True),
        ("a$", True),
        ("^a|b$", True),
        ("^(a)|(b)$", True),
        (r"^a\$", True),
        ("(?m)^a$", True),
        ("^(?m:a)$", True),
    ],
)
def test_a_pattern_that_need_not_match_the_whole_value_is_a_warning_on_an_allow(
    build: Any, pattern: str, warned: bool
) -> None:
    where = {"x": {"anyOf": [{"pattern": pattern}]}}
    policy = build(("allow", {"tool": "payment/charge", "where": where}))
    assert bool(policy.warnings) is warned
    denied = build(("allow", {"tool": "payment/*"}), ("deny", {"tool": "payment/charge", "where": where}))
    assert not denied.warnings
