"""One SQLite file per server: opened once, seeded once, changed by optimistic locking."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mcp.server.mcpserver.exceptions import ToolError

T = TypeVar("T")

# At most 40 tool threads run at once and each winner makes all others try again, so 100 is never
# reached inside one process; it bounds the wait when several processes share a file.
ATTEMPTS = 100
BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Schema:
    """What a new file is given: CREATE statements, and the rows for each statement that fills them."""

    tables: Sequence[str]
    rows: Mapping[str, Sequence[tuple[object, ...]]]


class Conflict(Exception):
    """A row changed between reading and writing it."""


class Database:
    """A SQLite file shared by the tool threads of one process; other processes may use the same file."""

    def __init__(self, path: Path, schema: Schema) -> None:
        """Open `path`; a new file is made and seeded. Raises OSError or sqlite3.Error."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._keep_ahead()
            self._seed(schema)
        except BaseException:
            self.close()
            raise

    def _keep_ahead(self) -> None:
        """Use a write-ahead log. SQLite itself does not wait for others that do so with a new file."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _seed(self, schema: Schema) -> None:
        with self.transaction() as tx:
            if tx.execute("PRAGMA user_version").fetchone()[0]:
                return
            for table in schema.tables:
                tx.execute(table)
            for insert, rows in schema.rows.items():
                tx.executemany(insert, rows)
            tx.execute("PRAGMA user_version = 1")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with self._lock, closing(self._connection.execute(sql, values)) as cursor:
            return cursor.fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        found = self.rows(sql, *values)
        return found[0] if found else None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, inside one write transaction: committed on leaving, rolled back on any error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def changed(cursor: sqlite3.Cursor) -> None:
    """Raises Conflict unless an `UPDATE ... WHERE id = ? AND version = ?` changed its one row."""
    if cursor.rowcount != 1:
        raise Conflict


def retried(attempt: Callable[[], T]) -> T:
    """Repeat a relative change (read, compute, write) until no one else changed the row in between."""
    for _ in range(ATTEMPTS):
        try:
            return attempt()
        except Conflict:
            continue
    raise ToolError("Too many others are changing this at the same time; nothing was done. Try again.")


def expect_version(thing: str, found: int, expected: int | None) -> None:
    """Raises ToolError when the client has seen another version of `thing` than the one stored."""
    if expected is not None and expected != found:
        raise ToolError(
            f"{thing} was changed meanwhile: it has version {found}, you expected {expected}; "
            "nothing was done. Read it again and repeat the change with the new version."
        )


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(8)}"
