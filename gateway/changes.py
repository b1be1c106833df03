"""Noticing that another process changed a table, without reading it each time."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Engine, Executable


class Changes:
    """Looks at a table through `connection`, kept for good; `state` selects one row that differs after every change.

    SQLite's data_version tells each connection whether others committed anything; most of what they commit is events.
    """

    def __init__(self, engine: Engine, state: Executable) -> None:
        self.connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._select = state
        self._version: int | None = None
        self._state: tuple[Any, ...] | None = None
        self._seen: tuple[int | None, tuple[Any, ...]] | None = None

    def pending(self) -> bool:
        """Whether the table may be another than when it was last `taken`. Raises SQLAlchemyError."""
        version = self._look()
        if version is not None and version == self._version:
            return False
        state = tuple(self.connection.execute(self._select).one())
        if state == self._state:
            self._version = version
            return False
        self._seen = version, state
        return True

    def _look(self) -> int | None:
        """Whatever others commit makes it another; None when it cannot be told: then the table is asked.

        By the driver: this is done many times a second, and Core's machinery costs ten times as much.
        """
        driver: Any = self.connection.connection.driver_connection
        try:
            version: int = driver.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        return version

    def taken(self) -> None:
        """The table has been read as it was at the last look."""
        if self._seen is not None:
            self._version, self._state = self._seen

    def close(self) -> None:
        self.connection.close()
