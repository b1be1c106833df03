"""Runs whose calls go through any replica: none is undone while one of them hears of it, or has a call of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import new_database
from deeds import Workshop
from fleet import Fleet
from raw_client import Modern, eventually, pool
from runs_parts import Agent, policy

LEASE = 4.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Workshop]]:
    folder = Path(tmp_path_factory.mktemp("runs"))
    works = Workshop(folder)
    works.start()
    try:
        with new_database() as url, Fleet(folder, url, works.table(), policy("worker")) as fleet:
            yield fleet, works
    finally:
        works.stop()


def state_of(fleet: Fleet, run: str) -> str:
    state = fleet.beside()
    (found,) = state.runs.find(run=run, agent="worker")
    state.close()
    return found.state


async def others(fleet: Fleet, agents: list[Modern]) -> list[Agent]:
    """The agent as it speaks to those replicas that do not have the duty."""
    await eventually(fleet.on_duty, 20)
    duty = fleet.on_duty()
    return [
        Agent("worker", each)
        for each, gateway in zip(agents, fleet.gateways, strict=True)
        if gateway.config.parent.name != duty
    ]


async def test_a_run_that_any_replica_hears_of_goes_on_and_is_undone_once_none_does(
    made: tuple[Fleet, Workshop],
) -> None:
    fleet, works = made
    async with pool() as session:
        one, two = await others(fleet, fleet.client(session, "worker").agents)
        await one.do("heard", "a", lease=LEASE)
        until = time.monotonic() + 3 * LEASE
        while time.monotonic() < until:  # what only reads leaves no other trace
            assert (await two.call("heard", "look", {"name": "heard.look"})).ok
            await asyncio.sleep(0.5)
        assert state_of(fleet, "heard") == "active"
        seconds = await eventually(lambda: state_of(fleet, "heard") == "rolled_back", 60)
    print(f"\nundone {seconds:.1f} s after it was heard of last, with a lease of {LEASE} s")
    assert seconds > LEASE - 1
    assert [deed for deed in works.deeds("heard") if deed[0] != "look"] == [("do", "heard.a"), ("undo", "heard.a")]


async def test_a_run_is_not_undone_under_a_call_that_another_replica_has_under_way(
    made: tuple[Fleet, Workshop],
) -> None:
    fleet, works = made
    async with pool() as session:
        one, two = await others(fleet, fleet.client(session, "worker").agents)
        await one.do("feet", "a")
        slow = asyncio.create_task(one.call("feet", "do", {"name": "feet.b", "delay": 4}))
        await eventually(lambda: len(works.deeds("feet")) == 2, 20)  # it took effect, and is still to answer
        assert (await two.call("feet", "toolgate__mark_run", {"state": "failed"})).ok
        assert state_of(fleet, "feet") == "rolling_back"
        assert (await slow).ok
        told = await two.rollback("feet")
    assert told["state"] == "rolled_back" and len(told["undone"]) == 2
    deeds = [("do", "feet.a"), ("do", "feet.b"), ("undo", "feet.b"), ("undo", "feet.a")]
    assert works.deeds("feet") == deeds


async def test_a_lease_goes_on_where_the_replica_that_had_the_duty_is_killed(made: tuple[Fleet, Workshop]) -> None:
    fleet, works = made
    async with pool() as session:
        one, _ = await others(fleet, fleet.client(session, "worker").agents)
        await one.do("moved", "a", lease=LEASE)
        duty = fleet.on_duty()
        assert duty is not None
        fleet.named(duty).kill()
        await eventually(lambda: state_of(fleet, "moved") == "rolled_back", 60)
    assert works.deeds("moved") == [("do", "moved.a"), ("undo", "moved.a")]
