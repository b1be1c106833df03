"""What an exception says may quote what a caller sent: logs tell its type and place, never its text."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from gateway.logs import Console, JsonLine

CANARY = "canary-4111"


def failing() -> None:
    try:
        raise KeyError(f"inner {CANARY}")
    except KeyError as inner:
        raise ValueError(f"no such card: {CANARY}\nsecond line") from inner


def record() -> logging.LogRecord:
    try:
        failing()
    except ValueError:
        return logging.LogRecord("toolgate", logging.ERROR, __file__, 1, "call %s failed", ("c7",), sys.exc_info())
    raise AssertionError("it does not fail any more")


@pytest.mark.parametrize("style", [JsonLine(), Console()])
def test_an_exception_is_logged_by_type_and_place_and_not_by_its_words(style: logging.Formatter) -> None:
    told = style.format(record())
    assert CANARY not in told and "no such card" not in told
    assert "call c7 failed" in told and "ValueError at failing" in told and "test_logs.py:" in told


def test_a_logged_exception_stays_on_one_line_of_json() -> None:
    told = JsonLine().format(record())
    assert "\n" not in told
    assert json.loads(told)["error"].startswith("ValueError at failing (")
