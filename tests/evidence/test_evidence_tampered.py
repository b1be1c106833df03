"""Whatever is done to the log, verification says so, and where."""

from __future__ import annotations

import math
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databases import Place
from evidence_parts import NOW, Log, places, some
from sqlalchemy import Connection, text

from gateway.chain import GENESIS, digest_of
from gateway.events import EVENT
from gateway.evidence.rows import COLUMNS
from gateway.evidence.walk import Walk

TAMPERINGS = 1000 if os.environ.get("TOOLGATE_LONG") else 200
_SEEN = 120
"""Events of each chain that the last checkpoint has seen."""


@pytest.fixture
def chains(log: Log) -> list[str]:
    """The chains of a log with checkpoints on the way, one at the end, and some events after it."""
    chains = ["main", "other"] if log.store.database.postgresql else ["main"]
    for chain in chains:
        log.write(some(_SEEN // 2), chain)
    log.checkpoint()
    for chain in chains:
        log.write(some(_SEEN), chain)
    log.checkpoint()
    for chain in chains:
        log.write(some(10), chain)
    return chains


Event = dict[str, Any]
Attack = Callable[[random.Random, Connection, list[Event]], str]


def events_of(connection: Connection, chain: str) -> list[Event]:
    of = text("SELECT * FROM events WHERE chain = :chain ORDER BY n")
    return [dict(row) for row in connection.execute(of, {"chain": chain}).mappings()]


def change(connection: Connection, event: Event, **values: Any) -> None:
    columns = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(text(f"UPDATE events SET {columns} WHERE seq = :was"), {**values, "was": event["seq"]})


def flip(draw: random.Random, connection: Connection, events: list[Event]) -> str:
    """Change one column of one event as little as can be."""
    event = draw.choice(events[:_SEEN])
    column = draw.choice([*EVENT, "chain", "n", "digest", "seq"])
    value = event[column]
    if column == "seq":
        changed: Any = -value
    elif column == "n":
        changed = value + draw.choice([10**6, -(10**6)])
    elif column == "at":
        changed = math.nextafter(value, draw.choice([0.0, math.inf]))
    elif value is None:
        changed = ""
    elif column in ("run", "reason") and draw.random() < 0.5:
        changed = None
    elif value == "":
        changed = "x"
    else:
        place = draw.randrange(len(value))
        other = draw.choice([char for char in "abc012 " if char != value[place]])
        changed = value[:place] + other + value[place + 1 :]
    change(connection, event, **{column: changed})
    return f"{column} of {event['n']}"


def delete(draw: random.Random, connection: Connection, events: list[Event]) -> str:
    begin = draw.randrange(_SEEN - 5)
    gone = events[begin : begin + draw.randint(1, 5)]
    for event in gone:
        connection.execute(text("DELETE FROM events WHERE seq = :seq"), {"seq": event["seq"]})
    return f"{gone[0]['n']} to {gone[-1]['n']}"


def truncate(draw: random.Random, connection: Connection, events: list[Event]) -> str:
    begin = draw.choice(events[:_SEEN])
    gone = {"chain": begin["chain"], "n": begin["n"]}
    connection.execute(text("DELETE FROM events WHERE chain = :chain AND n >= :n"), gone)
    return f"from {begin['n']} on"


def reorder(draw: random.Random, connection: Connection, events: list[Event]) -> str:
    """Exchange what two events say, or all but their place in the table."""
    one, two = draw.sample(events[:_SEEN], 2)
    names = draw.choice([EVENT, (*EVENT, "digest"), (*EVENT, "digest", "n")])
    if "n" in names:
        change(connection, one, n=-1)
    change(connection, two, **{name: one[name] for name in names})
    change(connection, one, **{name: two[name] for name in names})
    return f"{one['n']} and {two['n']}, {'with place' if 'n' in names else 'in place'}"


def insert(draw: random.Random, connection: Connection, events: list[Event]) -> str:
    """Put in one event more: as if it had always been there, twice, in no chain, or in a chain of its own."""
    like, last = draw.choice(events[:_SEEN]), events[-1]
    new = {**like, "at": NOW, "seq": last["seq"] + 1000}
    way = draw.choice(["within", "end", "unchained", "again"])
    if way == "within":
        for event in reversed(events[like["n"] - 1 :]):
            change(connection, event, n=event["n"] + 1, seq=event["seq"] + 10_000)
        new |= {"seq": like["seq"], "digest": digest_of(like["digest"], like["chain"], like["n"], row_of(new))}
    elif way == "end":
        new |= {"n": last["n"] + 1, "digest": "0" * 64}
    elif way == "unchained":
        new |= {"chain": None, "n": None, "digest": None, "seq": draw.choice([-5, last["seq"] + 1000])}
    else:
        new |= {"n": last["n"] + 2 + like["n"]}
    names = ", ".join(new)
    connection.execute(text(f"INSERT INTO events ({names}) VALUES ({', '.join(f':{name}' for name in new)})"), new)
    return f"{way} {like['n']}"


def row_of(event: Event) -> tuple[Any, ...]:
    return tuple(event[name] for name in EVENT)


def rewrite(draw: random.Random, connection: Connection, events: list[Event]) -> str:
    """Alter or leave out an event and compute the chain again up to its end, as whoever can write the table can."""
    place = draw.randrange(_SEEN)
    changed = dict(events[place])
    if left_out := draw.random() < 0.5:
        later = events[place + 1 :]
        connection.execute(text("DELETE FROM events WHERE seq = :seq"), {"seq": events[-1]["seq"]})
        rows = [{**event, "seq": was["seq"], "n": was["n"]} for event, was in zip(later, events[place:], strict=False)]
    else:
        changed["data"] = '{"arguments":{"amount":1}}'
        rows = [changed, *events[place + 1 :]]
    previous = events[place - 1]["digest"] if place else GENESIS
    for row in rows:
        previous = digest_of(previous, row["chain"], row["n"], row_of(row))
        change(connection, row, **{name: row[name] for name in EVENT}, digest=previous)
    return f"{'without' if left_out else 'other'} {events[place]['n']}"


def exchange(draw: random.Random, connection: Connection, events: list[Event]) -> str:
    """Exchange an event with that of the same place in another chain, if there is one."""
    one = draw.choice(events[:_SEEN])
    found = connection.execute(
        text("SELECT * FROM events WHERE n = :n AND chain <> :chain"), {"n": one["n"], "chain": one["chain"]}
    ).mappings()
    others = [dict(row) for row in found]
    if not others:
        return flip(draw, connection, events)
    names = draw.choice([EVENT, (*EVENT, "digest")])
    change(connection, one, **{name: others[0][name] for name in names})
    change(connection, others[0], **{name: one[name] for name in names})
    return f"{one['chain']}/{one['n']} and {others[0]['chain']}/{one['n']}"


ATTACKS: tuple[Attack, ...] = (flip, flip, delete, truncate, reorder, insert, rewrite, exchange)


def test_random_tamperings_are_all_found(log: Log, chains: list[str]) -> None:
    assert not log.verify().faults
    draw, missed = random.Random(5), []
    with log.store.database.connect() as connection:
        for number in range(TAMPERINGS):
            connection.exec_driver_sql("BEGIN")
            attack, chain = draw.choice(ATTACKS), draw.choice(chains)
            done = attack(draw, connection, events_of(connection, chain))
            if not log.verify_within(connection).faults:
                missed.append((number, attack.__name__, chain, done))
            connection.exec_driver_sql("ROLLBACK")
    assert not missed
    assert not log.verify().faults, "what was rolled back left nothing"


@pytest.mark.parametrize(
    ("deed", "where", "what"),
    [
        ("UPDATE events SET tool = 'other' WHERE chain = 'main' AND n = 41", "main/41", "is not what was written"),
        ("DELETE FROM events WHERE chain = 'main' AND n = 41", "main/41", "is missing: 41 is gone"),
        ("DELETE FROM events WHERE chain = 'main' AND n BETWEEN 41 AND 60", "main/41", "41 to 60 are gone"),
        ("DELETE FROM events WHERE chain = 'main' AND n >= 90", "main/90", "checkpoint 2 has seen"),
        ("UPDATE events SET seq = -1 WHERE chain = 'main' AND n = 41", "main/1", "is missing: 1 to 40 are gone"),
        ("DELETE FROM events", "main/1", "the chain is not there at all"),
    ],
)
def test_the_place_is_named(log: Log, chains: list[str], deed: str, where: str, what: str) -> None:
    with log.store.engine.begin() as connection:
        connection.execute(text(deed))
    fault = next(fault for fault in log.verify().faults if fault.where.startswith("main"))
    assert fault.where == where and what in fault.what


def test_a_store_that_is_rolled_back_contradicts_its_checkpoints(tmp_path: Path) -> None:
    log = Log(Place(tmp_path / "toolgate.db"), tmp_path / "state")
    log.write(some(50))
    log.checkpoint()
    with closing(sqlite3.connect(log.place.path)) as now, closing(sqlite3.connect(tmp_path / "before.db")) as before:
        now.backup(before)
    log.write(some(50))
    log.checkpoint()
    with closing(sqlite3.connect(log.place.path)) as now, closing(sqlite3.connect(tmp_path / "before.db")) as before:
        before.backup(now)
    report = log.verify()
    assert places(report) == ["main/52"] and "checkpoint 2 has seen 101" in report.faults[0].what
    log.write(some(80))
    assert places(log.verify()) == ["main/101"], "also when other events stand there by now"
    log.checkpoint()
    assert log.metrics.registry.get_sample_value("toolgate_audit_faults_total") == 1.0
    assert any("seen by checkpoint 3" in fault.what for fault in log.verify().faults)
    log.close()


def test_the_store_of_another_gateway_is_not_taken_for_its_own(tmp_path: Path) -> None:
    logs = [Log(Place(tmp_path / f"{name}.db"), tmp_path / name) for name in ("one", "two")]
    for log in logs:
        log.write(some(30))
        log.checkpoint()
    report = logs[0].verify(logs[1].lines())
    assert any("not among those that are trusted" in fault.what for fault in report.faults)
    for log in logs:
        log.close()
    (tmp_path / "one.db").rename(tmp_path / "aside.db")
    (tmp_path / "two.db").rename(tmp_path / "one.db")
    swapped = Log(Place(tmp_path / "one.db"), tmp_path / "one")
    assert "main/30" in places(swapped.verify())
    swapped.close()


def test_a_bit_that_flips_in_the_file_is_found(tmp_path: Path) -> None:
    log = Log(Place(tmp_path / "toolgate.db"), tmp_path / "state")
    log.write(some(100))
    log.checkpoint()
    log.close()
    with closing(sqlite3.connect(log.place.path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = log.place.path.read_bytes()
    draw = random.Random(7)
    for _ in range(40):
        at = whole.index(b'"SKU-%d"' % draw.randrange(100)) + draw.randrange(20)
        log.place.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :])
        altered = Log(log.place, log.folder)
        assert altered.verify().faults, at
        altered.close()


def test_what_no_event_holds_is_found_and_stops_nothing(tmp_path: Path) -> None:
    log = Log(Place(tmp_path / "toolgate.db"), tmp_path / "state")
    log.write(some(30))
    for value in (b"\xff\xfe", b"data"):
        with log.store.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE events SET data = ?, n = 'x' WHERE seq = 9", (value,))
            connection.exec_driver_sql("UPDATE events SET data = CAST(? AS TEXT) WHERE seq = 20", (value,))
        assert {"main/9", "main/20"} <= {*places(log.verify([]))}
    log.close()


def test_many_faults_are_told_up_to_a_number() -> None:
    walk = Walk({}, {})
    walk.go([(*([None] * len(EVENT)), "main", n, "0" * 64, n) for n in range(1, 100)])
    assert len(walk.faults) == 10 and "not told" in walk.faults[-1].what
    assert len(COLUMNS) == len(EVENT) + 4
