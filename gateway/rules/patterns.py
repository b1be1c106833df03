"""Regular expressions that take linear time in an automaton, and no endless time where they are backtracked."""

from __future__ import annotations

import re

import jsonschema_rs

LONGEST = 1000
"""Characters."""

_UNBOUNDED = re.compile(r"[*+]|\{\d*,\}")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_SIMPLE = "must be a regular expression without nested repeats such as (x+)+, which can take endless time"


def check_regex(value: str) -> str:
    """Raises ValueError for one that is too long, does not compile, looks around or back, or nests repeats."""
    if len(value) > LONGEST:
        raise ValueError(f"must be a regular expression of at most {LONGEST} characters")
    try:
        jsonschema_rs.Draft202012Validator({"pattern": value}, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, ValueError):
        raise ValueError("must be a regular expression without look-around and back-references") from None
    if _nests(value):
        raise ValueError(_SIMPLE)
    return value


def _nests(pattern: str) -> bool:
    """Whether an unbounded repeat stands in a group that is itself repeated without bound."""
    plain = _CLASS.sub("c", re.sub(r"\\.", "c", pattern, flags=re.DOTALL))
    repeats = [False]
    position = 0
    while position < len(plain):
        char = plain[position]
        position += 1
        repeated = _UNBOUNDED.match(plain, position - 1)
        if char == "(":
            repeats.append(False)
        elif char == ")" and len(repeats) > 1:
            inner = repeats.pop()
            again = _UNBOUNDED.match(plain, position) is not None
            if inner and again:
                return True
            repeats[-1] = repeats[-1] or inner or again
        elif repeated:
            repeats[-1] = True
            position = repeated.end()
    return False
