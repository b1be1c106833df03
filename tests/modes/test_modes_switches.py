"""Read-only mode is switched for one agent or all, on record, and noticed by whoever shares the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

import pytest
from databases import Place
from sqlalchemy import select

from gateway.modes import Modes, Switch
from gateway.store import Store
from gateway.tables import events


@pytest.fixture
def store(database: Place) -> Iterator[Store]:
    store = database.open()
    yield store
    store.stop()


@pytest.fixture
def modes(store: Store) -> Iterator[Modes]:
    ticking = count(1.0)
    modes = Modes(store, lambda: next(ticking))
    yield modes
    modes.close()


def told(store: Store) -> list[tuple[str, object]]:
    rows = store.read(select(events.c.agent, events.c.data).where(events.c.kind == "mode").order_by(events.c.seq))
    return [(row.agent, json.loads(row.data)) for row in rows]


def test_it_is_off_at_first_and_on_for_whom_it_is_switched(modes: Modes) -> None:
    assert not modes.read_only("clerk")
    assert modes.switch("clerk", True, "ann")
    assert modes.read_only("clerk")
    assert not modes.read_only("payer")
    assert modes.switch("", True, "bob")
    assert modes.read_only("payer")
    assert modes.listed() == [Switch("", "bob", 2.0), Switch("clerk", "ann", 1.0)]
    assert modes.switch("", False, "bob")
    assert (modes.read_only("clerk"), modes.read_only("payer")) == (True, False)


def test_each_switch_is_on_record_with_who_did_it_and_none_that_changes_nothing(modes: Modes, store: Store) -> None:
    assert not modes.switch("clerk", False, "ann")
    assert modes.switch("clerk", True, "ann")
    assert not modes.switch("clerk", True, "bob")
    assert modes.switch("clerk", False, "bob")
    on, off = {"read_only": True, "by": "ann"}, {"read_only": False, "by": "bob"}
    assert told(store) == [("clerk", on), ("clerk", off)]


def test_another_process_notices_every_change(modes: Modes, database: Place) -> None:
    other_store = database.open()
    other = Modes(other_store)
    try:
        assert not modes.refresh_if_changed()
        for agent, on in (("clerk", True), ("", True), ("clerk", False), ("", False)):
            other.switch(agent, on, "ann")
            assert modes.refresh_if_changed()
            assert not modes.refresh_if_changed()
            assert modes.listed() == other.listed()
        other.switch("clerk", True, "ann")
        other.switch("clerk", False, "ann")
        other.switch("payer", True, "ann")
        assert modes.refresh_if_changed()
        assert modes.read_only("payer")
    finally:
        other.close()
        other_store.stop()


def test_what_was_known_stays_in_force_while_the_store_cannot_be_read(modes: Modes, store: Store) -> None:
    modes.switch("clerk", True, "ann")
    with store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE switches RENAME TO gone")
    assert not modes.refresh_if_changed()
    assert modes.read_only("clerk")
