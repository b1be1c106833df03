"""A disk that does not answer: callers hear of it in time, and what they were told did not happen does not happen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from raw_client import eventually
from sqlalchemy import event as happening
from sqlalchemy import select

from gateway.errors import Unrecorded
from gateway.events import EventRow
from gateway.store import Store
from gateway.tables import events


def row(call: str) -> EventRow:
    return (1.0, "intent", call, "ada", "shop", "note", None, None, "{}")


async def test_appends_behind_a_stuck_commit_fail_in_time_and_are_never_written(tmp_path: Path) -> None:
    stuck, released = threading.Event(), threading.Event()

    def hang(rows: int, seconds: float) -> None:
        if rows and not released.is_set():
            stuck.set()
            released.wait(20)

    store = Store(tmp_path / "toolgate.db", hang)
    store.start()
    try:
        begun = time.monotonic()
        first = store.append(row("taken"))
        await asyncio.to_thread(stuck.wait, 5)
        second = store.append(row("behind"))
        ended = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(end) for end in ended] == [Unrecorded, Unrecorded]
        assert time.monotonic() - begun < 2
        assert store.failed == "Stalled"
        begun = time.monotonic()
        with pytest.raises(Unrecorded):
            await store.append(row("later"))
        assert time.monotonic() - begun < 0.1, "while nothing moves nobody waits"
        released.set()
        await eventually(lambda: store.failed is None, 5)
        await store.append(row("after"))
    finally:
        released.set()
        store.stop()
    written = [(event.kind, event.call) for event in store.read(select(events).order_by(events.c.seq))]
    assert written == [("intent", "taken"), ("gap", ""), ("intent", "after")]


async def test_a_commit_that_takes_too_long_and_then_succeeds_leaves_a_gap_on_record(tmp_path: Path) -> None:
    stuck, released = threading.Event(), threading.Event()

    def hang(statement: str) -> None:
        if statement.startswith("INSERT INTO events") and not released.is_set():
            stuck.set()
            released.wait(20)

    def connected(connection: Any, _record: Any) -> None:
        connection.set_trace_callback(hang)

    store = Store(tmp_path / "toolgate.db")
    store.engine.dispose()
    happening.listen(store.engine, "connect", connected)
    store.start()
    try:
        taken = store.append(row("taken"))
        assert await asyncio.to_thread(stuck.wait, 5)
        behind = store.append(row("behind"))
        ended = await asyncio.gather(taken, behind, return_exceptions=True)
        assert [type(end) for end in ended] == [Unrecorded, Unrecorded]
        released.set()
        await eventually(lambda: store.failed is None, 5)
        await store.append(row("after"))
    finally:
        released.set()
        store.stop()
    written = [(event.kind, event.call) for event in store.read(select(events).order_by(events.c.seq))]
    assert written == [("intent", "taken"), ("gap", ""), ("intent", "after")]


class Held(logging.Handler):
    """Keeps the writer where it says that it can write again."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.released = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "again" in record.getMessage() and not self.reached.is_set():
            self.reached.set()
            self.released.wait(20)


async def test_who_gives_up_just_when_the_store_recovers_does_not_close_it_for_good(tmp_path: Path) -> None:
    store, held = Store(tmp_path / "toolgate.db"), Held()
    logging.getLogger("toolgate.store").addHandler(held)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.start()
        try:
            with pytest.raises(Unrecorded):
                await store.append(row("locked"))
            other.execute("ROLLBACK")
            assert await asyncio.to_thread(held.reached.wait, 5)
            with pytest.raises(Unrecorded):
                await store.append(row("late"))
            held.released.set()
            await eventually(lambda: store.failed is None, 5)
            await eventually(partial(_accepted, store), 5)
        finally:
            held.released.set()
            logging.getLogger("toolgate.store").removeHandler(held)
            store.stop()


async def _accepted(store: Store) -> bool:
    with contextlib.suppress(Unrecorded):
        await store.append(row("after"))
        return True
    return False
