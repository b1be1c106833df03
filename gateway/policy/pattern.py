"""A text that a pattern most likely matches: for trying conditions, where a wrong guess does no harm."""

from __future__ import annotations

import re

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "b": "", "B": "", "A": "", "z": "", "Z": ""}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
_TIMES = re.compile(r"\{(\d+)(?:,\d*)?\}")
MAX_TIMES = 1000


def matching(pattern: str) -> str:
    """Take the first choice everywhere and repeat as little as the pattern asks for, but `*` once."""
    text, _ = _alternatives(pattern, 0)
    return text


def _alternatives(pattern: str, at: int) -> tuple[str, int]:
    """The first of the alternatives from `at` on, and where they end: at the end or at a closing bracket."""
    first, at = _sequence(pattern, at)
    while at < len(pattern) and pattern[at] == "|":
        _, at = _sequence(pattern, at + 1)
    return first, at


def _sequence(pattern: str, at: int) -> tuple[str, int]:
    text = ""
    while at < len(pattern) and pattern[at] not in "|)":
        piece, at = _piece(pattern, at)
        times, at = _times(pattern, at)
        text += piece * times
    return text, at


def _piece(pattern: str, at: int) -> tuple[str, int]:
    sign = pattern[at]
    if sign == "\\" and at + 1 < len(pattern):
        escaped = pattern[at + 1]
        return _CLASSES.get(escaped, _CONTROLS.get(escaped, escaped)), at + 2
    if sign == "[":
        return _of_set(pattern, at + 1)
    if sign == "(":
        opening = re.compile(r"\?(?:P?<\w+>|[a-zA-Z-]*:)?").match(pattern, at + 1)
        text, end = _alternatives(pattern, opening.end() if opening else at + 1)
        return text, end + 1
    return {"^": "", "$": "", ".": "a"}.get(sign, sign), at + 1


def _of_set(pattern: str, at: int) -> tuple[str, int]:
    """One character of a set; of a negated one, the first that it does not name."""
    negated = pattern.startswith("^", at)
    at += negated
    end = at + 1
    while end < len(pattern) and pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    body = pattern[at:end]
    if negated:
        compiled = _compiled(f"[^{body}]")
        free = (sign for sign in "a0_- A.:/" if compiled is not None and compiled.fullmatch(sign))
        return next(free, "~"), end + 1
    piece, _ = _piece(body, 0) if body.startswith("\\") else (body[:1], 0)
    return piece, end + 1


def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _times(pattern: str, at: int) -> tuple[int, int]:
    times = 1
    if match := _TIMES.match(pattern, at):
        times, at = min(int(match[1]), MAX_TIMES), match.end()
    elif pattern[at : at + 1] in ("*", "+", "?"):
        at += 1
    else:
        return times, at
    return times, at + (pattern[at : at + 1] in ("?", "+"))
