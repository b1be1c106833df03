"""Single arguments of the command line: from text to value, or argparse's error that says what to write."""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NoReturn

from gateway import times


def port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def claim(text: str) -> tuple[str, str | float | bool]:
    match = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_-]{0,63})(:?=)(.{1,256})", text)
    if match is None or not match[3].isprintable():
        raise argparse.ArgumentTypeError("write NAME=VALUE, or NAME:=JSON for a number or boolean")
    name, sign, value = match.groups()
    if sign == "=":
        return name, value
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, bool | int | float) or not math.isfinite(parsed):
        raise argparse.ArgumentTypeError(f"{name}:= takes a number, true or false; text is given by {name}=")
    return name, parsed


def span(text: str) -> timedelta:
    try:
        return timedelta(seconds=times.span(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def instant(text: str) -> float:
    """Seconds since the epoch: of a time, or of so long ago; see `gateway.times.instant`."""
    try:
        return times.instant(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError("write a whole number from 1 on")
    return int(text)


def assignments(given: Sequence[str]) -> dict[str, Any]:
    """Of NAME=TEXT and NAME:=JSON, values by name. Raises ValueError."""
    values: dict[str, Any] = {}
    for each in given:
        match = re.fullmatch(r"([^=:]+)(:?=)(.*)", each, re.DOTALL)
        if match is None:
            raise ValueError(f"{each} is neither NAME=TEXT nor NAME:=JSON")
        values[match[1]] = match[3] if match[2] == "=" else as_json(match[3])
    return values


def as_json(text: str) -> Any:
    """The value in `text`. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise ValueError(f"{text} is not JSON ({error})") from None


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"there is no {text}")
