"""Paths stay where they may lead, in whatever form somebody on the way could read them."""

from __future__ import annotations

import os.path
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import ArgumentRule
from gateway.facts import Argument
from gateway.rules import compile_rules


def path(*roots: str) -> ArgumentRule:
    return compile_rules({"it": Argument(kind="path", roots=roots or None)})["it"]


SENT = {
    "a": "a", "a/b.txt": "a/b.txt", "./a//b/./c/": "a/b/c", "a/../b": "b", ".": ".", ".hidden": ".hidden",
    "a b/c,d;e": "a b/c,d;e", "100%.txt": "100%.txt", "a%20b": "a%20b", "gr\u00fcn/\u65e5": "gr\u00fcn/\u65e5",
    "man3/Foo::Bar.3pm": "man3/Foo::Bar.3pm", "c++/x.h": "c++/x.h", "a.b..c": "a.b..c", "notes~": "notes~",
}  # fmt: skip
REFUSED = [
    "", "..", "../a", "a/../../b", "/etc/passwd", "/", "//host/share", "\\\\host\\share", "a\\..\\b", "C:\\x", "c:x",
    "~/x", "~root/x", "file:///etc/passwd", "file:etc/passwd", "php://filter", "http://x/", "a\x00b", "a\nb",
    "%2e%2e/a", "%2e%2e%2fa", "..%2fa", "%252e%252e%252fa", "%25252e%25252e/a", "..%5ca", "%c0%ae%c0%ae/a", "%c0%afa",
    "%e0%80%ae/a", "%u002e%u002e/a", "%2fetc/passwd", "a%00.txt", "\uff0e\uff0e/a", "\u2025/a", "..\u2215a",
    "..\uff0fa", "a/..;/b", ".../a", "..../a", "a/.. /b", "..2fa", "%ff", "Li4vLi4vZXRjL3Bhc3N3ZA==", "x" * 4097,
    "%2e%2e/" * 3, "a/%2e%2e/%2e%2e/b",
]  # fmt: skip


@pytest.mark.parametrize(("given_path", "sent"), SENT.items())
def test_a_path_is_sent_on_in_its_plain_form(given_path: str, sent: str) -> None:
    assert path()(given_path) == sent
    assert path()(sent) == sent


@pytest.mark.parametrize("given_path", REFUSED)
def test_what_leads_away_is_refused_in_every_spelling(given_path: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        path()(given_path)


@pytest.mark.parametrize(
    ("given_path", "sent"),
    [("/srv/data", "/srv/data"), ("/srv/data/a/../b", "/srv/data/b"), ("/srv//data/./x", "/srv/data/x"),
     ("reports/q1", "reports/q1"), ("/srv/data2", None), ("/srv", None), ("/srv/data/../x", None), ("/etc", None),
     ("/../srv/data", None), ("srv/data", None), ("q1", None), ("reports/../q1", None), ("//srv/data/x", None)],
)  # fmt: skip
def test_with_roots_a_path_lies_in_one_of_them(given_path: str, sent: str | None) -> None:
    made = path("/srv/data", "reports/")
    if sent is not None:
        assert made(given_path) == sent
    else:
        with pytest.raises(ValueError, match=r"^must be a "):
            made(given_path)


def test_the_root_of_everything_contains_everything() -> None:
    assert path("/")("/etc/hosts") == "/etc/hosts"


@given(st.text(st.sampled_from([*"./\\%ab2efc05~: \u2025\uff0e\u2215\x00"]), max_size=24))
def test_no_path_that_is_taken_leads_above_its_start_however_it_is_read(given_path: str) -> None:
    with suppress(ValueError):
        sent = path()(given_path)
        assert not os.path.normpath(sent).startswith(("..", "/"))
        assert path()(sent) == sent


@pytest.mark.parametrize("roots", [[""], ["../up"], ["/srv/../etc"]])
def test_a_root_that_leads_upwards_is_a_mistake_of_the_operator(roots: Any) -> None:
    with pytest.raises(ValueError, match="empty or leads upwards"):
        Argument(kind="path", roots=tuple(roots))
