"""Run SQL written by someone else on a SQLite file: it may read, for a short time, a bounded amount."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

Value = str | int | float | None

MOST_ROWS = 100
MOST_CHARACTERS = 100_000
MOST_SECONDS = 1.0
STEPS_BETWEEN_CLOCK_READS = 1000

ACTIONS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
FUNCTIONS = (
    {"avg", "count", "group_concat", "max", "min", "sum", "total"}
    | {"dense_rank", "first_value", "lag", "last_value", "lead", "ntile", "rank", "row_number"}
    | {"abs", "ceil", "floor", "mod", "round", "sign"}
    | {"char", "format", "glob", "hex", "instr", "length", "like", "lower", "ltrim", "printf", "replace"}
    | {"rtrim", "substr", "substring", "trim", "unicode", "upper"}
    | {"date", "datetime", "julianday", "strftime", "time", "unixepoch"}
    | {"coalesce", "ifnull", "iif", "nullif", "typeof"}
)
"""What may be called. SQLite has others that show memory addresses, load code or open files."""
LIMITS = {
    # One value or one call of a function such as printf('%1000000d') or LIKE runs between two clock reads.
    sqlite3.SQLITE_LIMIT_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}


class Rows(BaseModel):
    """Rows in the order of the query. `truncated` when there were more than are given."""

    columns: list[str]
    rows: list[list[Value]]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """Runs one statement at a time, each on a connection of its own that cannot write."""

    path: Path
    clock: Callable[[], float] = time.monotonic

    def run(self, sql: str) -> Rows:
        """The rows of one reading statement. Raises ToolError when it is refused, wrong or too slow."""
        deadline = self.clock() + MOST_SECONDS
        guard = _Guard()
        with closing(self._connect()) as connection:
            connection.set_authorizer(guard)
            connection.set_progress_handler(lambda: self.clock() > deadline, STEPS_BETWEEN_CLOCK_READS)
            try:
                return _bounded(connection.execute(sql))
            # Warning: several statements in one text. ValueError: a NUL character or half a surrogate pair.
            except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
                raise ToolError(_explain(error, guard.denied)) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.execute("PRAGMA query_only = ON")
        for limit, value in LIMITS.items():
            connection.setlimit(limit, value)
        return connection


@dataclass(slots=True)
class _Guard:
    """SQLite's authorizer: denies all but ACTIONS and FUNCTIONS and remembers what it denied."""

    denied: str | None = None

    def __call__(self, action: int, _first: str | None, second: str | None, *_where: str | None) -> int:
        if action in ACTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second is not None and second.lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        self.denied = f"the function {second}" if action == sqlite3.SQLITE_FUNCTION else "anything but reading"
        return sqlite3.SQLITE_DENY


def _bounded(cursor: sqlite3.Cursor) -> Rows:
    if cursor.description is None:
        raise ToolError("The statement gives no rows. Write one SELECT.")
    rows: list[list[Value]] = []
    room = MOST_CHARACTERS
    for raw in cursor:
        row = [_plain(value) for value in raw]
        room -= sum(len(str(value)) for value in row)
        if room < 0 or len(rows) == MOST_ROWS:
            return Rows(columns=[column[0] for column in cursor.description], rows=rows, truncated=True)
        rows.append(row)
    return Rows(columns=[column[0] for column in cursor.description], rows=rows, truncated=False)


def _plain(value: Value | bytes) -> Value:
    """A value as JSON can carry it: bytes in hexadecimal, infinity as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _explain(error: Exception, denied: str | None) -> str:
    if denied is not None:
        return f"Refused: {denied} is not allowed here. Write one SELECT over the tables of this server."
    if str(error) == "interrupted":
        return f"The query was stopped after {MOST_SECONDS:g} s. Ask for less: add conditions or a LIMIT."
    reason = str(error).rstrip(".")
    return f"The query is wrong: {reason}. Write one SELECT in SQLite's dialect, without placeholders."
