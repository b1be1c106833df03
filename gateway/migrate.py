"""Databases that an earlier release made, brought up to the tables of this one."""

from __future__ import annotations

import contextlib

from sqlalchemy import Engine, MetaData, inspect
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateColumn


def add_missing_columns(engine: Engine, metadata: MetaData) -> None:
    """Add the columns that existing tables lack; they must be nullable. Rows that are there keep what they have."""
    present = inspect(engine)
    for table in metadata.sorted_tables:
        known = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name in known:
                continue
            definition = CreateColumn(column).compile(engine)
            # Another process may open the same database at the same time, and be first.
            with contextlib.suppress(OperationalError), engine.begin() as connection:
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
