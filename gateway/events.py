"""The log's rows, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

EVENT = ("at", "kind", "call", "agent", "server", "tool", "run", "reason", "data")
"""The columns of an event, in the order in which `Store.append` takes their values."""

EventRow = tuple[float, str, str, str, str, str, str | None, str | None, str]

PENDING = "events"
"""Where a connection's `info` holds the events of its transaction: see `gateway.database`."""


def insert_events(connection: Connection, rows: Sequence[EventRow]) -> None:
    """Write events as part of a piece of work. They are put into the log as its transaction ends, all at once."""
    connection.info[PENDING].extend(rows)


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
