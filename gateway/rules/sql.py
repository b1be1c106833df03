"""SQL statements: parsed in the dialect of their server, judged as a tree, and sent on as that tree written again.

What a parser reads differently from the database does not get there: comments, for one, are gone. A database
account that can only read is still worth having.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

LONGEST = 20_000
"""Characters."""
DEEPEST = 40
"""Parentheses open at once: each costs the parser stack."""


def sql_rule(
    dialect: str, *, write: bool, tables: Sequence[str] | None, functions: Sequence[str] | None
) -> Callable[[str], str]:
    """A rule that takes one statement, only reading unless `write`, of these tables and functions where given."""
    # The parser is large: gateways that see no SQL do not load it, the others do before the first call.
    from gateway.rules.sql_tree import Policy

    policy = Policy.of(dialect, write, tables, functions)

    def rule(value: str) -> str:
        _check_size(value)
        return policy.judge(value)

    return rule


def _check_size(value: str) -> None:
    if len(value) > LONGEST:
        raise ValueError(f"must be SQL of at most {LONGEST} characters")
    if "/*!" in value:
        raise ValueError("must be SQL without comments that databases execute (/*! ... */)")
    depth = 0
    for bracket in re.findall(r"[()\[\]]", value):
        depth += 1 if bracket in "([" else -1
        if depth > DEEPEST:
            raise ValueError(f"must be SQL that is nested at most {DEEPEST} levels deep")
