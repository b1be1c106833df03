"""Opening the database: a new one gets its tables, an older one what it lacks. Several may do so at once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, inspect
from sqlalchemy.schema import CreateColumn

_PATIENCE = 5.0
"""Seconds to wait for others that use the file."""


def open_engine(path: Path, metadata: MetaData) -> Engine:
    """The database in `path`, with all tables and columns of `metadata`. Raises SQLAlchemyError."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _PATIENCE})
    event.listen(engine, "connect", _set_up)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # One transaction from the first look: whoever comes second waits, and finds it done.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        metadata.create_all(connection)
        _add_missing_columns(connection, metadata)
        connection.exec_driver_sql("DROP INDEX IF EXISTS events_call")  # 0.1.0 kept one
        connection.exec_driver_sql("COMMIT")
    return engine


def _add_missing_columns(connection: Connection, metadata: MetaData) -> None:
    """Add the columns that existing tables lack; they must be nullable. Rows that are there keep what they have."""
    present = inspect(connection)
    for table in metadata.sorted_tables:
        known = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                definition = CreateColumn(column).compile(connection)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def _set_up(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_PATIENCE * 1000:.0f}")
    _keep_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _keep_ahead(cursor: Any) -> None:
    """Use a write-ahead log. SQLite does not itself wait for others that change a new file to it, or write to it."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
