"""The log of events: groups, order, numbers, and databases of earlier releases."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect, select

from gateway.audit import unfinished
from gateway.events import EventRow
from gateway.store import Store
from gateway.tables import events

FIRST_RELEASE = """
CREATE TABLE events (
    seq INTEGER NOT NULL, at FLOAT NOT NULL, kind VARCHAR(16) NOT NULL, call VARCHAR(32) NOT NULL,
    agent VARCHAR(64) NOT NULL, server VARCHAR(64) NOT NULL, tool VARCHAR(256) NOT NULL, run VARCHAR(256),
    reason VARCHAR(32), data TEXT NOT NULL, PRIMARY KEY (seq)
);
CREATE INDEX events_call ON events (call);
INSERT INTO events VALUES (7, 1.0, 'intent', 'earlier', 'ada', 'shop', 'note', NULL, NULL, '{}');
"""


def row(call: str) -> EventRow:
    return (1.0, "intent", call, "ada", "shop", "note", None, None, "{}")


def written(store: Store) -> list[tuple[int, str]]:
    return [(event.seq, event.call) for event in store.read(select(events).order_by(events.c.seq))]


async def test_whatever_waits_is_written_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    sizes: list[int] = []
    store = Store(tmp_path / "toolgate.db", lambda rows, seconds: sizes.append(rows))
    waiting = [store.append(row(str(number))) for number in range(250)]
    store.start()
    await asyncio.gather(*waiting)
    store.stop()
    assert written(store) == [(number + 1, str(number)) for number in range(250)]
    assert sizes == [75, 75, 75, 25], "a group is one statement, and its size has a bound"


async def test_a_database_of_the_first_release_goes_on_without_its_index(tmp_path: Path) -> None:
    path = tmp_path / "toolgate.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_RELEASE)
    store = Store(path)
    store.start()
    await store.append(row("later"))
    store.stop()
    assert written(store) == [(7, "earlier"), (8, "later")]
    assert inspect(store.engine).get_indexes("events") == []
    assert [event.call for event in store.run(unfinished)] == ["earlier", "later"]


async def test_an_event_that_nobody_waits_for_may_fail_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "toolgate.db")
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DROP TABLE events")
    store.start()
    abandoned = store.append(row("abandoned"))
    await asyncio.wait([abandoned])
    del abandoned
    store.stop()
    assert "never retrieved" not in caplog.text
