"""The hash chain of events: each one's digest is over its content and the digest of the one before it.

One chain has one writer at a time. On SQLite there is one for the file, whoever writes; on PostgreSQL each replica has
its own. The place of an event is unique, so two that write to one chain cannot both take it: who comes second looks
where the chain ends now, and tries again.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from gateway.events import EVENT, EventRow

MOST_ROWS = 75
"""Events in one statement: every SQLite takes 999 values, and its driver keeps 128 statements compiled."""
_ATTEMPTS = 100

GENESIS = "0" * 64
"""What stands for the digest of the event before the first."""

_LINKED = (*EVENT, "chain", "n", "digest")


class Head(NamedTuple):
    """Where a chain ends: `n` and `digest` of its last event; `seq`, on SQLite, of the last event of the log."""

    n: int
    digest: str
    seq: int


def digest_of(previous: str, chain: str, n: int, row: Sequence[Any]) -> str:
    """The digest, hex, of event `n` of `chain`, with the values of `EVENT` in `row`, after one with `previous`."""
    return hashlib.sha256(previous.encode() + orjson.dumps([chain, n, *row])).hexdigest()


class Chain:
    """Writes events to the chain `name`; `postgresql` says how. Belongs to one thread."""

    def __init__(self, name: str, *, postgresql: bool) -> None:
        self.name = name
        self._postgresql = postgresql
        self._head: Head | None = None

    def write(self, connection: Connection, rows: Sequence[EventRow]) -> None:
        """Put events at the end: on their own, or within a transaction that is open. Raises what the driver raises."""
        for begin in range(0, len(rows), MOST_ROWS):
            self._write(connection, rows[begin : begin + MOST_ROWS])

    def forget(self) -> None:
        """What was written may not be there: look again where the chain ends."""
        self._head = None

    def _write(self, connection: Connection, rows: Sequence[EventRow]) -> None:
        # By the driver: this is on every call's way, and Core's machinery costs as much again.
        driver: Any = connection.connection.driver_connection
        taken = connection.dialect.loaded_dbapi.IntegrityError
        for attempt in range(_ATTEMPTS):
            head = self._head or self._read(driver)
            self._head = None
            linked, after = self._linked(head, rows)
            try:
                if self._postgresql:
                    with _shielded(driver):
                        told = [dict(zip(_LINKED, values, strict=False)) for values in linked]
                        driver.execute(_INSERT, (orjson.dumps(told).decode(),), prepare=True)
                else:
                    driver.execute(_insert(len(linked)), [*itertools.chain.from_iterable(linked)])
            except taken:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                self._head = after
                return

    def _linked(self, head: Head, rows: Sequence[EventRow]) -> tuple[list[tuple[Any, ...]], Head]:
        """The values of `_LINKED`, then `seq`, of each event."""
        linked: list[tuple[Any, ...]] = []
        n, digest, seq = head
        for row in rows:
            n, seq = n + 1, seq + 1
            digest = digest_of(digest, self.name, n, row)
            linked.append((*row, self.name, n, digest, seq))
        return linked, Head(n, digest, seq)

    def _read(self, driver: Any) -> Head:
        if self._postgresql:
            of = "SELECT n, digest, 0 FROM events WHERE chain = %s ORDER BY n DESC LIMIT 1"
            row = driver.execute(of, (self.name,)).fetchone()
        else:
            row = driver.execute("SELECT n, digest, seq FROM events ORDER BY seq DESC LIMIT 1").fetchone()
            if row is not None and row[0] is None:
                # A release before 0.2 wrote the last ones, which have no place: the chain goes on behind them.
                chained = "SELECT n, digest FROM events WHERE n IS NOT NULL ORDER BY seq DESC LIMIT 1"
                row = (*(driver.execute(chained).fetchone() or (0, GENESIS)), row[2])
        return Head(0, GENESIS, 0) if row is None else Head(*row)


def _shielded(driver: Any) -> AbstractContextManager[Any]:
    """PostgreSQL gives up the whole transaction over one place that is taken, unless told otherwise."""
    within = driver.info.transaction_status.name == "INTRANS"
    return driver.transaction() if within else nullcontext()


_TYPES = ("float8", *["text"] * 8, "text", "bigint", "text")
_INSERT = (
    f"INSERT INTO events ({', '.join(_LINKED)}) SELECT {', '.join(_LINKED)} FROM json_to_recordset(%s::json)"
    f" AS row({', '.join(f'{name} {type_}' for name, type_ in zip(_LINKED, _TYPES, strict=True))})"
)
"""On PostgreSQL, a group of any size as one value: its driver takes five times as long to pass each on its own."""


@cache
def _insert(rows: int) -> str:
    """On SQLite. The statement for a group is one, for the driver takes the interpreter lock back after each."""
    columns = (*_LINKED, "seq")
    row = f"({', '.join('?' for _ in columns)})"
    return f"INSERT INTO events ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"
