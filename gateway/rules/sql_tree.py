"""What a parsed statement may hold. The only door to sqlglot, which takes a tenth of a second to load."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel

from gateway.rules.sql_names import FUNCTIONS_DENIED, FUNCTIONS_OF_TABLES, PACKAGES_DENIED, TABLES_OUTSIDE

# Its warnings quote the statement, and what is asked of a tool is not for the log.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL + 1)

_READS = (exp.Select, exp.SetOperation, exp.Subquery)
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
_OTHERS = (
    exp.Alter, exp.Analyze, exp.Attach, exp.Block, exp.Cache, exp.Command, exp.Commit, exp.Copy, exp.Create,
    exp.Declare, exp.Describe, exp.Detach, exp.Drop, exp.Execute, exp.Export, exp.Grant, exp.Into, exp.Kill,
    exp.LoadData, exp.Lock, exp.MultitableInserts, exp.Pragma, exp.PropertyEQ, exp.Refresh, exp.Revoke, exp.Rollback,
    exp.SessionParameter, exp.Set, exp.Show, exp.Summarize, exp.Transaction, exp.TruncateTable, exp.Uncache, exp.Use,
    exp.WithTableHint,
)  # fmt: skip
"""What no statement may hold: definitions, commands, locks, settings, files."""
_OPERATORS = (exp.And, exp.Or, exp.Xor, exp.Case, exp.Cast, exp.TryCast, exp.Exists, exp.Any, exp.All, exp.Unnest)
"""Functions to sqlglot, but none to whoever writes a list of them."""

_OUTSIDE = "must be SQL that names tables of this database, not files, stages or other servers"
_SHOWN = 40
"""Characters of a function's name that a refusal tells."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What statements of one argument may do. Names are in lower case; None is no restriction."""

    dialect: str
    write: bool
    tables: frozenset[str] | None
    functions: frozenset[str] | None

    @classmethod
    def of(cls, dialect: str, write: bool, tables: Sequence[str] | None, functions: Sequence[str] | None) -> Self:
        sqlglot.parse("SELECT 1", read=dialect)  # loads what is of this dialect
        return cls(dialect, write, _lower(tables), _lower(functions))

    def judge(self, text: str) -> str:
        """The statement written again, without comments. Raises ValueError when it may not run."""
        try:
            parsed = sqlglot.parse(text, read=self.dialect, error_level=ErrorLevel.IMMEDIATE)
        except Exception:  # of a parser on hostile text anything may come, RecursionError first
            raise ValueError(f"must be SQL in the dialect {self.dialect}; it cannot be parsed") from None
        statements = [one for one in parsed if one is not None and not isinstance(one, exp.Semicolon)]
        if len(statements) != 1:
            raise ValueError("must be exactly one SQL statement")
        tree = statements[0]
        try:
            self._check(tree)
            return tree.sql(
                dialect=self.dialect,
                comments=False,
                normalize_functions=False,
                # Only here a word that ends one statement and begins another can stand bare after AS.
                identify=self.dialect == "tsql",
                unsupported_level=ErrorLevel.RAISE,
            )
        except (sqlglot.errors.SqlglotError, RecursionError):
            raise ValueError("must be simpler SQL; it cannot be written again as it was read") from None

    def _check(self, tree: exp.Expr) -> None:
        root = tree.unnest()
        if not isinstance(root, _READS + _WRITES if self.write else _READS):
            wanted = "a SELECT, INSERT, UPDATE, DELETE or MERGE" if self.write else "a SELECT, which only reads"
            raise ValueError(f"must be {wanted}; it is a {root.key.upper()}")
        for node in [*tree.walk()]:
            if isinstance(node, _OTHERS) or (not self.write and isinstance(node, _WRITES)):
                raise ValueError(f"must be SQL that only reads tables; it holds a {node.key.upper()}")
            if node.args.get("settings"):
                raise ValueError("must be SQL without settings")
            if isinstance(node, exp.TableFromRows) and not isinstance(node.this, exp.Func):
                raise ValueError(_OUTSIDE)  # TABLE('name') is a table by another way
            if isinstance(node, exp.In) and node.args.get("field") is not None:
                raise ValueError("must be SQL with a list or a SELECT in parentheses after IN")  # not a bare table
            if isinstance(node, exp.Table):
                self._check_table(node)
            elif isinstance(node, exp.Column):
                _check_packages(part.name for part in node.parts[:-1])
            elif isinstance(node, exp.Func):
                self._check_function(node)
            elif isinstance(node, exp.Hint):
                node.pop()  # a comment that the database would act on

    def _check_table(self, table: exp.Table) -> None:
        source = table.this
        if isinstance(source, exp.Func):
            return  # judged as a function
        name = table.name.lower()
        if not isinstance(source, exp.Identifier) or TABLES_OUTSIDE[self.dialect].search(name):
            raise ValueError(_OUTSIDE)
        if self.tables is None or (not table.db and _is_cte(table)):
            return
        if ".".join(part.name.lower() for part in table.parts) not in self.tables:
            raise ValueError(f"must be SQL over these tables only: {', '.join(sorted(self.tables))}")

    def _check_function(self, function: exp.Func) -> None:
        if isinstance(function, _OPERATORS) or (isinstance(function, exp.If) and isinstance(function.parent, exp.Case)):
            return
        names = _names(function)
        if isinstance(function.parent, exp.Dot):
            _check_packages(part.name for part in function.parent.find_all(exp.Identifier))
        if self.functions is not None:
            if not names & self.functions:
                raise ValueError(
                    f"must be SQL with these functions only: {', '.join(sorted(self.functions)) or 'none'}"
                )
        elif any(FUNCTIONS_DENIED.fullmatch(name) for name in names):
            raise ValueError(
                f"must be SQL without functions that reach beyond the data; it calls {min(names)[:_SHOWN]}"
            )
        elif isinstance(function.parent, exp.Table | exp.Lateral | exp.TableFromRows) and function.arg_key == "this":
            if isinstance(function.parent, exp.Table):
                _check_packages([function.parent.db])
            if not names & FUNCTIONS_OF_TABLES:
                raise ValueError("must be SQL that reads tables, not what functions make up")


def _lower(names: Sequence[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(name.lower() for name in names)


def _names(function: exp.Func) -> frozenset[str]:
    """Every name the function may have been called by, in lower case."""
    if isinstance(function, exp.Anonymous | exp.AnonymousAggFunc):
        return frozenset({function.name.lower()})
    return frozenset(name.lower() for name in type(function).sql_names())


def _check_packages(names: Iterator[str] | Sequence[str]) -> None:
    if any(PACKAGES_DENIED.fullmatch(name.lower()) for name in names):
        raise ValueError("must be SQL without packages that reach beyond the data")


def _is_cte(table: exp.Table) -> bool:
    """Whether the name is that of a WITH in whose scope the table stands.

    One that stands in the WITH itself sees only what was defined before, and its own name when it is recursive:
    otherwise `WITH secret AS (SELECT * FROM secret)` would read a table in the guise of a name for it.
    """
    below: exp.Expr = table
    above = table.parent
    while above is not None:
        if isinstance(above, exp.With):
            index = above.expressions.index(below)
            seen = above.expressions[: index + 1 if above.recursive else index]
        else:
            held = above.args.get("with_")
            seen = held.expressions if held is not None and held is not below else []
        if any(cte.alias.lower() == table.name.lower() for cte in seen):
            return True
        below, above = above, above.parent
    return False
