"""Noticing that another process changed what is kept in memory, without reading it each time.

Each topic has a version in the table `versions`, which grows with every change, in the transaction that makes it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Row, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway.store import Store
from gateway.tables import versions

CHANNEL = "toolgate_changes"
"""Of PostgreSQL's NOTIFY, where topics are named as they change: see `gateway.hints`."""
_FAREWELL = 1.0


def bump(connection: Connection, topic: str) -> int:
    """The next version of `topic`, as part of the transaction that changes it. Whoever comes second waits."""
    changed = update(versions).where(versions.c.topic == topic).values(n=versions.c.n + 1).returning(versions.c.n)
    n: int = connection.execute(changed).scalar_one()
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, topic)))
    return n


class Changes:
    """Looks at the version of `topic` through a connection of its own, kept as long as it works."""

    def __init__(self, store: Store, topic: str) -> None:
        self._database = store.database
        self._version = select(versions.c.n).where(versions.c.topic == topic)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._data: int | None = None
        self._n: int | None = None

    def news(self, statement: Executable) -> Sequence[Row[Any]] | None:
        """What `statement` finds, where the topic may be another than at the last look; None where it is the same.

        From any thread. Raises SQLAlchemyError; then the next look is as if this one had not been.
        """
        with self._lock:
            try:
                return self._look(statement)
            except SQLAlchemyError:
                self._drop()  # it may be broken for good, as after a restart of the server
                raise

    def close(self) -> None:
        """A look that hangs in another thread is left behind."""
        if self._lock.acquire(timeout=_FAREWELL):
            self._drop()
            self._lock.release()

    def _look(self, statement: Executable) -> Sequence[Row[Any]] | None:
        if self._connection is None:
            self._connection = self._database.connect()
        data = None if self._database.postgresql else _data_version(self._connection)
        if data is not None and data == self._data:
            return None
        n = self._connection.execute(self._version).scalar_one()
        rows = None if n == self._n else self._connection.execute(statement).all()
        self._data, self._n = data, n
        return rows

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._data = None


def _data_version(connection: Connection) -> int | None:
    """Whatever others commit to SQLite makes it another, most of which are events; None when it cannot be told.

    By the driver: this is done many times a second, and Core's machinery costs ten times as much.
    """
    driver: Any = connection.connection.driver_connection
    try:
        version: int = driver.execute("PRAGMA data_version").fetchone()[0]
    except sqlite3.Error:
        return None
    return version
