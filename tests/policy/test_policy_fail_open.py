"""What plain Casbin lets through, shown on plain Casbin, and that none of it gets through here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import casbin
import pytest
from policy_files import MODEL, SERVERS

from gateway.errors import ConfigError
from gateway.policy import load

Write = Callable[[Mapping[str, str | bytes]], Path]

PLAIN = """\
[request_definition]
r = sub, obj
[policy_definition]
p = sub, obj, eft
[policy_effect]
e = {effect}
[matchers]
m = r.sub == p.sub && {match}
"""
OVERRIDE = "some(where (p.eft == allow)) && !some(where (p.eft == deny))"
HEAD = 'agent = "a"\ndescription = "Tests."\n'


@pytest.fixture
def plain(tmp_path: Path) -> Callable[..., bool]:
    """What plain Casbin says of a request under a policy file with these lines."""

    def plain(lines: str, obj: str, *, sub: str = "a", match: str = "r.obj == p.obj", effect: str = OVERRIDE) -> bool:
        (tmp_path / "model.conf").write_text(PLAIN.format(effect=effect, match=match))
        (tmp_path / "policy.csv").write_text(lines)
        return bool(casbin.Enforcer(str(tmp_path / "model.conf"), str(tmp_path / "policy.csv")).enforce(sub, obj))

    return plain


def refuses(write: Write, files: Mapping[str, str | bytes]) -> str:
    """What the problems say when these files do not load."""
    with pytest.raises(ConfigError) as caught:
        load(write(files), SERVERS)
    return str(caught.value)


def model(old: str, new: str) -> dict[str, str]:
    assert old in MODEL
    return {"model.conf": MODEL.replace(old, new), "a.toml": f'{HEAD}[[allow]]\ntool = "payment/read"\n'}


ALLOW = "p, a, payment, x, call, allow\n"


def test_an_effect_that_is_mistyped_is_no_effect(plain: Callable[..., bool], write: Write) -> None:
    assert plain("p, a, x, allow\np, a, x, Deny\n", "x")
    assert "p.effect" in refuses(write, {"a.csv": f"{ALLOW}p, a, payment, x, call, Deny\n"})
    assert "Deny" in refuses(write, {"a.toml": f'{HEAD}[[allow]]\ntool = "*/*"\n[[Deny]]\ntool = "payment/x"\n'})


def test_an_empty_policy_matches_empty_texts(plain: Callable[..., bool], write: Write) -> None:
    assert plain("", "", sub="")
    policy = load(write({"a.toml": f"{HEAD}deny_all = true\n"}), SERVERS)
    assert not any(policy.decide(agent, "", "", "call").allowed for agent in ("", "a"))
    assert not policy.decide("", "", "", "").allowed


def test_an_effect_of_denies_only_allows_what_no_rule_names(plain: Callable[..., bool], write: Write) -> None:
    assert plain("", "x", effect="!some(where (p.eft == deny))")
    assert "policy_effect.e" in refuses(write, model(f"e = {OVERRIDE}", "e = !some(where (p.eft == deny))"))


def test_a_star_in_the_middle_swallows_what_stands_behind_it(plain: Callable[..., bool], write: Write) -> None:
    lines = "p, a, /files/*/public, allow\n"
    assert plain(lines, "/files/bob/secret", match="keyMatch(r.obj, p.obj)")
    rule = f'{HEAD}[[allow]]\nresource = "files/*/public"\n'
    assert "last character" in refuses(write, {"a.toml": rule})
    assert "last character" in refuses(write, {"a.csv": "p, a, files, */public, read, allow\n"})


@pytest.mark.parametrize(("pattern", "name"), [("/read", "/read\n"), ("/v1.0/x", "/v1-0/x")])
def test_a_name_matches_with_a_line_end_or_another_character_for_a_dot(
    plain: Callable[..., bool], write: Write, pattern: str, name: str
) -> None:
    assert plain(f"p, a, {pattern}, allow\n", name, match="keyMatch2(r.obj, p.obj)")
    policy = load(write({"a.toml": f'{HEAD}[[allow]]\nresource = "files/{pattern}"\n'}), SERVERS)
    assert policy.decide("a", "files", pattern, "read").allowed
    assert not policy.decide("a", "files", name, "read").allowed
    assert "keyMatch2" in refuses(write, model("seg(r.tool, p.tool)", "keyMatch2(r.tool, p.tool)"))


def test_a_regex_matches_a_beginning(plain: Callable[..., bool], write: Write) -> None:
    assert plain("p, a, read, allow\n", "read_and_delete", match="regexMatch(r.obj, p.obj)")
    policy = load(write({"a.toml": f'{HEAD}[[allow]]\ntool = "files/read"\n'}), SERVERS)
    assert not policy.decide("a", "files", "read_and_delete", "call").allowed
    assert "regexMatch" in refuses(write, model("seg(r.tool, p.tool)", "regexMatch(r.tool, p.tool)"))


def test_a_line_of_an_unknown_kind_is_dropped(plain: Callable[..., bool], write: Write) -> None:
    assert plain("p, a, x, allow\nP, a, x, deny\n", "x")
    assert "neither p nor g" in refuses(write, {"a.csv": f"{ALLOW}P, a, payment, x, call, deny\n"})


def test_a_byte_order_mark_swallows_the_first_line(plain: Callable[..., bool], write: Write) -> None:
    assert plain("\ufeffp, a, x, deny\np, a, x, allow\n", "x")
    text = "\ufeffp, a, payment, x, call, deny\n" + ALLOW
    assert "byte order mark" in refuses(write, {"a.csv": text})
    assert "byte order mark" in refuses(write, {"a.toml": f'\ufeff{HEAD}[[allow]]\ntool = "payment/x"\n'})


def test_a_missing_column_fails_every_request_and_not_the_load(plain: Callable[..., bool], write: Write) -> None:
    with pytest.raises(RuntimeError, match="invalid policy size"):
        plain("p, a, x, allow\np, a, y\n", "z")
    assert "5 columns" in refuses(write, {"a.csv": f"{ALLOW}p, a, payment, x, call\n"})


def test_a_matcher_that_does_not_parse_fails_every_request_and_not_the_load(
    plain: Callable[..., bool], write: Write
) -> None:
    with pytest.raises(SyntaxError):
        plain("p, a, x, allow\n", "x", match="(r.obj == p.obj")
    assert "matchers.m" in refuses(write, model("holds(r.ctx, p.rule)", "(holds(r.ctx, p.rule)"))


def test_a_rule_that_is_python_is_no_part_of_a_file(write: Write) -> None:
    assert "matchers.m" in refuses(write, model("m = g", "m = eval(p.rule) && g"))
    assert "p.cond" in refuses(write, {"a.csv": "p, a, payment, x, call, allow, r.ctx.amount < 5\n"})
