"""Bringing a database to what this release needs: a new one gets its tables, an older one what it lacks.

Several may do so at once.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, inspect, select
from sqlalchemy.schema import CreateColumn

from gateway.tables import metadata, tickets, versions

_PATIENCE = 5.0
_LOCK = 7_203_910

TOPICS = ("tokens", "pins", "tickets", "reviewers", "switches", "breakers", "policies")
"""What has a version: see `gateway.changes`."""


def migrate(engine: Engine) -> None:
    """All tables and columns, and a version for each topic. Raises SQLAlchemyError."""
    begin = "BEGIN IMMEDIATE" if engine.name == "sqlite" else f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK})"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # One transaction from the first look: whoever comes second waits, and finds it done.
        connection.exec_driver_sql(begin)
        metadata.create_all(connection)
        _add_missing_columns(connection)
        connection.exec_driver_sql("DROP INDEX IF EXISTS events_call")  # 0.1.0 kept one
        _add_versions(connection)
        connection.exec_driver_sql("COMMIT")


def _add_missing_columns(connection: Connection) -> None:
    """Add the columns that existing tables lack; they must be nullable. Rows that are there keep what they have."""
    present = inspect(connection)
    for table in metadata.sorted_tables:
        known = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                definition = CreateColumn(column).compile(connection)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def _add_versions(connection: Connection) -> None:
    known = set(connection.execute(select(versions.c.topic)).scalars())
    largest = connection.execute(select(func.max(tickets.c.revision))).scalar_one() or 0
    for topic in TOPICS:
        if topic not in known:
            connection.execute(insert(versions).values(topic=topic, n=largest if topic == "tickets" else 0))


def set_up_sqlite(connection: Any, _record: Any) -> None:
    """For each new connection to a SQLite file."""
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
