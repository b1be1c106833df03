"""Undoing goes on where it was: past an upstream that is down, a gateway that is stopped, and clocks that are set."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from databases import Place
from deeds import Workshop
from raw_client import eventually
from runs_parts import Books, Clock, agents, books, call, decide, found, gateway, in_state, leased, standing
from sqlalchemy import select

from gateway.call import Call, Result, Tool
from gateway.controls.intent import Intent
from gateway.errors import Unreachable
from gateway.metrics import Metrics
from gateway.order import chain
from gateway.runs import Leases
from gateway.runs.undoing import Undoing
from gateway.settings import RunSettings
from gateway.tables import events, runs, steps

DAY = 86_400.0


async def test_an_upstream_that_is_down_and_comes_back_is_undone_at(tmp_path: Path) -> None:
    works = Workshop(tmp_path)
    works.start()
    try:
        with gateway(tmp_path, works, runs="attempts = 100") as serving:
            async with agents(serving, "worker") as (worker,):
                await worker.do("down", "a", "b")
                works.stop()
                assert (await worker.call("down", "toolgate__mark_run", {"state": "failed"})).ok
                await eventually(lambda: _attempts(serving.config.parent), 10)
                works.start()
                await in_state(serving, "down", "rolled_back")
        assert works.deeds("down")[2:] == [("undo", "down.b"), ("undo", "down.a")]
    finally:
        works.stop()


def _attempts(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / "var" / "toolgate.db")) as database:
        return bool(database.execute("SELECT 1 FROM steps WHERE attempts > 1").fetchone())


async def test_a_gateway_that_stops_in_good_order_ends_the_step_it_is_at_and_goes_on_after(
    workshop: Workshop, tmp_path: Path
) -> None:
    with gateway(tmp_path, workshop) as serving:
        async with agents(serving, "worker") as (worker,):
            await worker.do("stop", "a", "b", "c~")
            assert (await worker.call("stop", "toolgate__mark_run", {"state": "failed"})).ok
            await eventually(lambda: _attempts(tmp_path), 10)
        serving.stop()
        workshop.patience.touch()
        serving.start()
        await in_state(serving, "stop", "rolled_back")
        assert standing(serving, "stop") == []
    assert workshop.deeds("stop")[3:] == [("undo", "stop.c~"), ("undo", "stop.b"), ("undo", "stop.a")]


async def test_attempts_that_are_used_up_become_a_ticket(workshop: Workshop, tmp_path: Path) -> None:
    with gateway(tmp_path, workshop, runs="attempts = 3") as serving:
        async with agents(serving, "worker") as (worker,):
            await worker.do("much", "a", "b!5")
            told = await worker.rollback("much")
            assert [step["tool"] for step in told["waiting"]] == ["do"]
            (ticket,) = standing(serving, "much")
            assert ticket.words is not None and "3 attempts failed" in ticket.words
            assert ticket.words.startswith(f"{ticket.server}/do was to be undone: ")
            assert workshop.deeds("much")[2:] == [("undo", "much.a")]
            decide(serving, ticket.id, "approve")
            await eventually(lambda: found(serving, "much").steps == {"undone": 2}, 10)


@pytest.fixture
def kept(database: Place) -> Iterator[Books]:
    with books(database) as made:
        made.state.store.start()
        yield made


@asynccontextmanager
async def undoing(
    kept: Books, send: list[Call], failures: int = 0, read_only: Callable[[str], bool] = lambda agent: False
) -> AsyncIterator[Undoing]:
    """The task that undoes, with the ledger and the intent's control around what notes what is sent."""
    tool = Tool("works", "undo", {"name": "undo"}, call(0).definition.facts, lambda arguments: None)  # type: ignore[union-attr]

    async def sent(call: Call) -> Result:
        send.append(call)
        if len(send) <= failures:
            raise Unreachable("down")
        return {"content": []}

    settings = RunSettings(base=0.02, cap=0.05, attempts=10)
    state, metrics = kept.state, Metrics()
    made = Undoing(
        state.runs,
        state.approvals,
        settings,
        metrics,
        lambda server, name: tool,
        lambda: "policy",
        read_only,
        clock=kept.clock,
    )
    task = asyncio.create_task(made.run(chain([Intent(state.ledger, metrics)], sent)))
    try:
        yield made
    finally:
        await made.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def failed(kept: Books) -> None:
    for number in (1, 2):
        kept.enter(call(number))
        kept.leave(call(number), f"made-{number}")
    kept.mark("failed")


async def test_a_step_that_rests_is_not_undone_once_read_only_mode_is_on(kept: Books) -> None:
    failed(kept)
    sent: list[Call] = []
    asked: list[str] = []

    def read_only(agent: str) -> bool:
        """Switched on while the step rests: it was asked about twice before."""
        asked.append(agent)
        return len(asked) > 2

    async with undoing(kept, sent, read_only=read_only):
        await eventually(lambda: len(asked) > 3, 5)
    assert sent == []


async def test_a_secret_of_the_call_that_is_undone_does_not_stand_in_the_log(kept: Books) -> None:
    made = call(1, arguments={"order": {"id": "tok_424242"}}, secrets=frozenset({"order"}))
    kept.enter(made)
    kept.leave(made)
    kept.mark("failed")
    sent: list[Call] = []
    async with undoing(kept, sent):
        await eventually(lambda: kept.runs.find()[0].state == "rolled_back", 5)
    assert sent[0].arguments["of"] == "tok_424242"
    logged = [row.data for row in kept.state.store.read(select(events.c.data))]
    assert logged and "tok_424242" not in str(logged)


@pytest.mark.parametrize("jump", [-DAY, -3600.0, 3600.0, DAY])
async def test_a_wall_clock_that_is_set_neither_stops_the_undoing_nor_repeats_it(kept: Books, jump: float) -> None:
    failed(kept)
    sent: list[Call] = []
    async with undoing(kept, sent, failures=3):
        await eventually(lambda: len(sent) >= 2, 5)
        kept.clock.now += jump
        await eventually(lambda: kept.runs.find()[0].state == "rolled_back", 5)
    assert [call.undoes for call in sent] == ["call-2"] * 4 + ["call-1"]
    assert len({call.key for call in sent}) == 5


@pytest.mark.parametrize("jump", [-DAY, 3600.0, DAY])
async def test_a_wall_clock_that_is_set_ends_no_lease(kept: Books, jump: float) -> None:
    one = leased(call(1), 60)
    kept.enter(one)
    kept.leave(one)
    sent: list[Call] = []
    async with undoing(kept, sent) as made:
        await eventually(lambda: ("a", "r") in kept.runs.leases.leases, 5)  # as after a restart
        kept.clock.now += jump
        kept.mark("failed", run="other")
        made.wake()
        await eventually(lambda: any(run.state == "rolled_back" for run in kept.runs.find()), 5)
        assert kept.runs.find(run="r")[0].state == "active" and sent == []


async def test_time_in_which_the_gateway_stood_still_ends_no_lease(kept: Books) -> None:
    clock = Clock()
    kept.runs.leases = Leases(clock)
    one = leased(call(1), 10)
    kept.enter(one)
    kept.leave(one)
    sent: list[Call] = []
    async with undoing(kept, sent) as made:
        await eventually(lambda: ("a", "r") in kept.runs.leases.leases, 5)
        clock.now += 3600  # as after SIGSTOP and SIGCONT
        kept.mark("failed", run="other")
        made.wake()
        await eventually(lambda: any(run.state == "rolled_back" for run in kept.runs.find()), 5)
        assert kept.runs.find(run="r")[0].state == "active" and sent == []

        def silent() -> bool:
            clock.now += 0.5
            made.wake()
            return kept.runs.find(run="r")[0].state == "rolled_back"

        await eventually(silent, 10)
    assert [call.undoes for call in sent] == ["call-1"]


async def test_what_was_undone_before_the_gateway_died_is_not_sent_again(kept: Books) -> None:
    failed(kept)
    sent: list[Call] = []
    async with undoing(kept, sent):
        await eventually(lambda: kept.runs.find()[0].state == "rolled_back", 5)
        # As if it had died before it knew: the steps are back, what the store knows of their keys is not.
        for column in (steps, runs):
            state = "done" if column is steps else "rolling_back"
            change = column.update().values(state=state)
            kept.state.store.run(lambda connection, change=change: connection.execute(change))
        await eventually(lambda: kept.runs.find()[0].state == "rolled_back", 5)
    assert len(sent) == 2
    assert kept.runs.find()[0].steps == {"undone": 2}
