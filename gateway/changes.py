"""Noticing that another process changed what is kept in memory, without reading it each time.

Each topic has a version in the table `versions`, which grows with every change, in the transaction that makes it.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.store import Store
from gateway.tables import versions


def bump(connection: Connection, topic: str) -> int:
    """The next version of `topic`, as part of the transaction that changes it. Whoever comes second waits."""
    changed = update(versions).where(versions.c.topic == topic).values(n=versions.c.n + 1).returning(versions.c.n)
    n: int = connection.execute(changed).scalar_one()
    return n


class Changes:
    """Looks at the version of `topic` through `connection`, kept for good. Belongs to one thread at a time."""

    def __init__(self, store: Store, topic: str) -> None:
        self.connection = store.database.connect()
        self._postgresql = store.database.postgresql
        self._select = select(versions.c.n).where(versions.c.topic == topic)
        self._data: int | None = None
        self._n: int | None = None
        self._seen: tuple[int | None, int] | None = None

    def pending(self) -> bool:
        """Whether the topic may be another than when it was last `taken`. Raises SQLAlchemyError."""
        data = None if self._postgresql else self._look()
        if data is not None and data == self._data:
            return False
        n = self.connection.execute(self._select).scalar_one()
        if n == self._n:
            self._data = data
            return False
        self._seen = data, n
        return True

    def _look(self) -> int | None:
        """Whatever others commit to SQLite makes it another, most of which are events; None when it cannot be told.

        By the driver: this is done many times a second, and Core's machinery costs ten times as much.
        """
        driver: Any = self.connection.connection.driver_connection
        try:
            version: int = driver.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        return version

    def taken(self) -> None:
        """The topic has been read as it was at the last look."""
        if self._seen is not None:
            self._data, self._n = self._seen

    def close(self) -> None:
        self.connection.close()
