"""How one process recovers what another left behind, and leaves: the parts, in one process, on PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from databases import Place
from ledger_parts import Books, call
from raw_client import eventually
from sqlalchemy import Connection, text

from gateway.metrics import Metrics
from gateway.replicas import Replicas, listed, replicas


class Process:
    """A replica `name` as far as its ledger and its beats go."""

    def __init__(self, place: Place, name: str, owner: str) -> None:
        self.books = Books(place, owner, chain=name)
        self.replicas = Replicas(
            self.books.store, self.books.ledger, Metrics(), lambda: "digest", name, None, superseded=lambda: None
        )

    def begin(self, stack: ExitStack) -> None:
        stack.callback(self.books.store.stop)
        stack.enter_context(self.replicas.joined())
        self.books.store.start()

    def state(self) -> str:
        return next(each.state for each in listed(self.books.store) if each.owner == self.books.ledger.owner)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A log so long that to look through it takes longer than the writer waits."""
    looked: list[str] = []
    find = replicas.unfinished

    def unfinished(connection: Connection, chain: str) -> Any:
        connection.execute(text("SELECT pg_sleep(2)"))
        looked.append(chain)
        return find(connection, chain)

    monkeypatch.setattr(replicas, "unfinished", unfinished)
    return looked


async def test_the_dead_are_recovered_and_calls_go_on_however_long_the_log_is(
    postgresql: Place, stack: ExitStack, slow: list[str]
) -> None:
    dead, left = Process(postgresql, "dead", "d"), Process(postgresql, "left", "l")
    left.begin(stack)
    with ExitStack() as life:
        dead.begin(life)
        slow.clear()
        await dead.books.ledger.begin(call("kept", key="k"))
        await dead.books.ledger.begin(call("logged"))
    (gone,) = [each for each in listed(left.books.store) if each.name == "dead"]
    burying = asyncio.create_task(left.replicas._bury(gone))
    waits: list[float] = []
    for number in range(1_000):
        begun = time.monotonic()
        await left.books.made(call(f"c{number}", key=f"c{number}"))
        waits.append(time.monotonic() - begun)
        if burying.done():
            break
        await asyncio.sleep(0.02)
    await burying
    assert slow == ["dead"]
    assert len(waits) > 10 and left.books.told("gap") == []
    ends = {event["call"]: event["reason"] for event in left.books.told("outcome") if event["outcome"] == "unknown"}
    assert ends == {"kept": "crashed", "logged": "crashed"}


async def test_calls_of_a_process_that_has_the_name_of_a_dead_one_go_on(postgresql: Place, stack: ExitStack) -> None:
    """Its predecessor counted as gone, and wrote down a call after that: it came to, and died for good."""
    first, second = Process(postgresql, "one", "first"), Process(postgresql, "one", "second")
    third = Process(postgresql, "two", "third")
    third.begin(stack)
    with ExitStack() as life:
        first.begin(life)
    second.begin(stack)
    late = Books(postgresql, "first", chain="one")
    late.store.start()
    stack.callback(late.store.stop)
    await late.ledger.begin(call("late", key="late"))
    await second.books.ledger.begin(call("runs"))
    gone = next(each for each in listed(third.books.store) if each.owner == "first")
    await third.replicas._bury(gone)
    ends = {event["call"]: event["outcome"] for event in third.books.told("outcome")}
    assert ends == {"late": "unknown"}


async def test_calls_wait_for_a_turn_as_long_as_their_callers_do(postgresql: Place, stack: ExitStack) -> None:
    """On a machine that is short of breath the turns of some replicas take a second."""
    process = Process(postgresql, "one", "o")
    process.begin(stack)
    other = Books(postgresql)
    stack.callback(other.store.stop)
    taken = threading.Event()

    def slow(connection: Connection) -> None:
        taken.set()
        connection.execute(text("SELECT pg_sleep(1)"))

    turn = asyncio.create_task(asyncio.to_thread(other.store.run, slow))
    await asyncio.to_thread(taken.wait)
    await process.books.made(call("c1", key="k1"))
    await turn
    assert process.books.told("gap") == []


async def test_one_that_left_does_not_come_back_with_its_next_beat(postgresql: Place, stack: ExitStack) -> None:
    process = Process(postgresql, "one", "o")
    process.begin(stack)
    beating = asyncio.create_task(process.replicas.run())
    await eventually(process.replicas.on_duty, 10)
    await process.replicas.leave()
    assert not process.replicas.on_duty()
    await asyncio.sleep(1.5)
    assert process.state() == "left" and not any(each.duty for each in listed(process.books.store))
    beating.cancel()
