"""Events as they are stored, read in bulk for whoever proves them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.chain import GENESIS, Head, digest_of
from gateway.database import Database
from gateway.events import EVENT

Row = tuple[Any, ...]
"""The values of COLUMNS."""

COLUMNS = (*EVENT, "chain", "n", "digest", "seq")
CHAIN, N, DIGEST, SEQ = range(len(EVENT), len(COLUMNS))
KIND, DATA = EVENT.index("kind"), EVENT.index("data")
MAIN = "main"
"""The one chain of a SQLite file."""
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM events "
_PAGE = 2000


class Rows:
    """Reads through `connection`, by the driver: Core would take as long again for a million of them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.postgresql = connection.dialect.name == "postgresql"
        self._driver: Any = connection.connection.driver_connection
        self._mark = "%s" if self.postgresql else "?"

    def all(self) -> Iterator[Sequence[Row]]:
        """Every event, in the order of `seq`, in pages. Those of one chain come in the order of the chain."""
        last: int | None = None
        while True:
            where = "" if last is None else f"WHERE seq > {self._mark} "
            page = self._fetch(f"{_SELECT}{where}ORDER BY seq LIMIT {_PAGE}", () if last is None else (last,))
            if page:
                yield page
                last = page[-1][SEQ]
            if len(page) < _PAGE:
                return

    def heads(self) -> dict[str, Head]:
        """Where each chain ends."""
        if not self.postgresql:
            found = self._fetch("SELECT n, digest, seq FROM events ORDER BY seq DESC LIMIT 1")
            return {MAIN: Head(*found[0])} if found and found[0][0] is not None else {}
        heads, chain = {}, ""
        # One look into the index for each chain, where DISTINCT would go through all events.
        of_next = "SELECT chain FROM events WHERE chain > %s ORDER BY chain LIMIT 1"
        of_head = "SELECT n, digest, seq FROM events WHERE chain = %s ORDER BY n DESC LIMIT 1"
        while found := self._fetch(of_next, (chain,)):
            ((chain,),) = found
            heads[chain] = Head(*self._fetch(of_head, (chain,))[0])
        return heads

    def after(self, chain: str, n: int, limit: int) -> Sequence[Row]:
        """At most `limit` events of a chain that come after the place `n`, in order."""
        if self.postgresql:
            return self._fetch(f"{_SELECT}WHERE chain = %s AND n > %s ORDER BY n LIMIT {limit}", (chain, n))
        return self._fetch(f"{_SELECT}WHERE seq > ? ORDER BY seq LIMIT {limit}", (self._before() + n,))

    def unchained(self) -> Head:
        """Events of before 0.2, which are in no chain: how many, and a digest over them as if they were in one."""
        head = Head(0, GENESIS, 0)
        last = -(2**62)
        while True:
            if self.postgresql:
                which, values = "chain IS NULL AND seq > %s", (last,)
            else:
                which, values = f"seq > ? AND seq <= {self._before()}", (last,)
            page = self._fetch(f"{_SELECT}WHERE {which} ORDER BY seq LIMIT {_PAGE}", values)
            for row in page:
                head = unchained_after(head, row)
            if len(page) < _PAGE:
                return head
            last = page[-1][SEQ]

    def _before(self) -> int:
        """On SQLite, `seq` of the last event before the chain: within it both grow together."""
        head = self.heads().get(MAIN)
        if head is not None:
            return head.seq - head.n
        found = self._fetch("SELECT max(seq) FROM events")
        return found[0][0] or 0

    def _fetch(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        try:
            rows: list[Row] = self._driver.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            # Somebody wrote what is no text: it is to be found, not to stop the search.
            self._driver.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            try:
                rows = self._driver.execute(statement, values).fetchall()
            finally:
                self._driver.text_factory = str
        return rows


def unchained_after(head: Head, row: Row) -> Head:
    """The head of the events that are in no chain, with one more of them."""
    return Head(head.n + 1, digest_of(head.digest, "", head.n + 1, row[:CHAIN]), row[SEQ])


@contextlib.contextmanager
def snapshot(database: Database) -> Iterator[Rows]:
    """All is read as it is at the first look, whatever is written meanwhile."""
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if database.postgresql else "BEGIN"
    with database.connect() as connection:
        connection.exec_driver_sql(begin)
        try:
            yield Rows(connection)
        finally:
            connection.exec_driver_sql("ROLLBACK")
