"""The log's rows, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection

EVENT = ("at", "kind", "call", "agent", "server", "tool", "run", "reason", "data")
"""The columns of an event, in the order in which `Store.append` takes their values."""

EventRow = tuple[float, str, str, str, str, str, str | None, str | None, str]


def insert_events(connection: Connection, rows: Sequence[EventRow]) -> None:
    """Write events, one or more, as part of a piece of work.

    By the driver: this is on every call's way, and Core's machinery costs as much again.
    """
    driver: Any = connection.connection.driver_connection
    driver.execute(_insert(len(rows)), [value for row in rows for value in row])


@cache
def _insert(rows: int) -> str:
    """The statement for a group of events. It is one, for the driver takes the interpreter lock back after each."""
    row = f"({', '.join('?' * len(EVENT))})"
    return f"INSERT INTO events ({', '.join(EVENT)}) VALUES {', '.join([row] * rows)}"


def event_row(
    at: float,
    kind: str,
    data: Mapping[str, Any],
    *,
    call: str = "",
    agent: str = "",
    server: str = "",
    tool: str = "",
    run: str | None = None,
    reason: str | None = None,
) -> EventRow:
    """An event, its `data` still to be written as JSON. `tool` must be a name that fits: see `audit.short_name`."""
    return (at, kind, call, agent, server, tool, run, reason, orjson.dumps(data).decode())
