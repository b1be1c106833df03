"""References in strings are replaced after parsing, and what they stand for is never told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.errors import ConfigError
from gateway.interpolate import Interpolation

FILE = Path("gateway.toml")


def replaced(text: str, environ: dict[str, str] | None = None, file: Path = FILE) -> Any:
    interpolation = Interpolation(file, environ or {})
    value = interpolation.apply({"key": text})["key"]
    assert not interpolation.problems
    return value


def problem(text: str, environ: dict[str, str] | None = None, file: Path = FILE) -> str:
    interpolation = Interpolation(file, environ or {})
    assert interpolation.apply({"key": text}) == {"key": text}
    (found,) = interpolation.problems.values()
    assert found.key == "key"
    return str(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Bearer ${KEY}", "Bearer k"),
        ("${KEY}${KEY}", "kk"),
        ("${UNSET:-fallback}", "fallback"),
        ("${UNSET:-}", ""),
        ("${EMPTY:-fallback}", "fallback"),
        ("${KEY:-fallback}", "k"),
        ("${UNSET:-http://x:1}", "http://x:1"),
        ("${EMPTY}", ""),
        ("$${KEY}", "${KEY}"),
        ("$KEY $ {KEY}", "$KEY $ {KEY}"),
        ("${NESTED}", "${KEY}"),
    ],
)
def test_a_reference_stands_for_its_variable(text: str, value: str) -> None:
    assert replaced(text, {"KEY": "k", "EMPTY": "", "NESTED": "${KEY}"}) == value


@pytest.mark.parametrize("text", ["${", "${}", "${KEY", "${1A}", "${A B}", "${A:x}", "a ${KEY"])
def test_what_is_not_a_reference_is_a_problem(text: str) -> None:
    assert "is not a reference" in problem(text, {"KEY": "k"})


def test_an_unset_variable_is_a_problem_that_names_it() -> None:
    assert "the environment variable CARD_KEY is not set" in problem("${CARD_KEY}")


def test_a_file_stands_for_its_content_without_the_trailing_newline(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("one\ntwo\n\n")
    (tmp_path / "windows").write_bytes(b"three\r\n")
    file = tmp_path / "gateway.toml"
    assert replaced("${file:key}", file=file) == "one\ntwo\n"
    assert replaced("<${file:windows}>", file=file) == "<three>"
    assert replaced(f"${{file:{tmp_path}/windows}}", file=file) == "three"


def test_a_file_that_cannot_be_read_is_a_problem_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfehunter2")
    file = tmp_path / "gateway.toml"
    assert "No such file" in problem("${file:none}", file=file)
    assert "Is a directory" in problem("${file:.}", file=file)
    found = problem("${file:binary}", file=file)
    assert "it is not UTF-8 text" in found
    assert "hunter2" not in found


def test_values_are_replaced_wherever_strings_stand_and_keys_never_are() -> None:
    interpolation = Interpolation(FILE, {"A": "x"})
    data = {"${A}": [1, "${A}", {"b": "${A}", "c": True}], "d": "${B}", "e": ["${C}"]}
    assert interpolation.apply(data) == {"${A}": [1, "x", {"b": "x", "c": True}], "d": "${B}", "e": ["${C}"]}
    assert [found.key for found in interpolation.problems.values()] == ["d", "e[0]"]


def test_a_value_cannot_smuggle_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[servers.shop]\nurl = "http://127.0.0.1/mcp"\nheaders = { A = "${KEY}" }\n')
    value = '" }\n[servers.other]\nurl = "http://evil'
    with pytest.raises(ConfigError) as caught:
        load(path, {"KEY": value})
    assert [found.key for found in caught.value.problems] == ["servers.shop.headers.A"]


def test_a_variable_may_give_a_number(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nport = "${PORT:-8081}"\n')
    assert load(path, {}).gateway.port == 8081
    assert load(path, {"PORT": "9000"}).gateway.port == 9000


MARK = "hunter2"
awkward = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=60, deadline=None)
@given(before=awkward, after=awkward)
def test_a_secret_is_in_no_problem_wherever_it_stands(before: str, after: str) -> None:
    secret = before + MARK + after
    path = Path(__file__).parent / "every_place.toml"
    with pytest.raises(ConfigError) as caught:
        load(path, {"SECRET": secret})
    assert len(caught.value.problems) > 10
    assert MARK not in str(caught.value)
    assert MARK not in repr(caught.value.problems)
    assert MARK not in repr(caught.value.__context__)


@settings(max_examples=30, deadline=None)
@given(secret=st.text(st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=126), max_size=20))
def test_a_secret_is_in_no_repr_of_the_configuration(secret: str) -> None:
    config = load(Path(__file__).parent / "secret_places.toml", {"SECRET": secret + MARK})
    assert config.servers["web"].headers["A"] == secret + MARK
    credentials = config.servers["web"].credentials
    assert credentials is not None
    assert credentials["payment"]["A"].get_secret_value() == secret + MARK
    for shown in (config, config.servers, *config.servers.values(), credentials):
        assert MARK not in repr(shown)
        assert MARK not in str(shown)
        assert MARK not in f"{shown}"
