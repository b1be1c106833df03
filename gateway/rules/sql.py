"""SQL statements: parsed in the dialect of their server, judged as a tree, and sent on as that tree written again.

What a parser reads differently from the database does not get there: comments, for one, are gone. A database
account that can only read is still worth having.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.rules.sql_tree import Policy

LONGEST = 20_000
"""Characters."""
DEEPEST = 40
"""Parentheses open at once: each costs the parser stack."""


def sql_rule(
    dialect: str, *, write: bool, tables: Sequence[str] | None, functions: Sequence[str] | None
) -> Callable[[str], str]:
    """A rule that takes one statement, only reading unless `write`, of these tables and functions where given."""
    policy: list[Policy] = []

    def rule(value: str) -> str:
        _check_size(value)
        if not policy:  # the parser is large: gateways that never see SQL do not load it
            from gateway.rules.sql_tree import Policy

            policy.append(Policy.of(dialect, write, tables, functions))
        return policy[0].judge(value)

    return rule


def _check_size(value: str) -> Any:
    if len(value) > LONGEST:
        raise ValueError(f"must be SQL of at most {LONGEST} characters")
    if "/*!" in value:
        raise ValueError("must be SQL without comments that databases execute (/*! ... */)")
    depth = 0
    for bracket in re.findall(r"[()\[\]]|\bcase\b|\bend\b", value, re.IGNORECASE):
        depth += 1 if bracket in "([" or bracket.lower() == "case" else -1
        if depth > DEEPEST:
            raise ValueError(f"must be SQL that is nested at most {DEEPEST} levels deep")
