"""Names that belong to one process, the duty that one has, and what becomes of the calls of who is dead, or paused."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from databases import new_database
from fleet import Fleet, metric
from gateway_process import CLI
from ledger_parts import POLICIES, SERVERS
from processes import finish
from raw_client import Reply, eventually, pool
from recorder import Nursery, Shop, shops

DEAD = 30.0
"""Seconds within which a replica that is gone is noticed: ten to twelve, but others may use the machine too."""


@pytest.fixture
def fleet(nursery: Nursery, tmp_path: Path) -> Iterator[tuple[Fleet, Shop, str]]:
    with new_database() as url, shops(nursery, tmp_path, "shop") as (shop,):
        servers = SERVERS.format(url=shop.url).replace("max_concurrent", "timeout = 60\nmax_concurrent")
        with Fleet(tmp_path, url, servers, {"worker.toml": POLICIES["worker.toml"]}) as made:
            yield made, shop, url


def told(url: str, query: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query).fetchall()]


async def test_one_has_the_duty_and_another_when_that_one_leaves(fleet: tuple[Fleet, Shop, str]) -> None:
    made, _, _ = fleet
    await eventually(made.on_duty, 10)
    first = made.on_duty()
    assert first is not None
    assert [each.state for each in made.roll().values()] == ["alive"] * 3
    await eventually(lambda: sum(metric(each, "toolgate_duty") for each in made.gateways) == 1, 10)
    assert await asyncio.to_thread(made.named(first).stop) == 0
    seconds = await eventually(lambda: made.on_duty() not in (None, first), 10)
    assert made.roll()[first].state == "left"
    others = [each for each in made.gateways if each is not made.named(first)]
    await eventually(lambda: {metric(each, "toolgate_replicas") for each in others} == {2}, 10)
    second = made.on_duty()
    assert second is not None
    made.named(second).kill()
    killed = await eventually(lambda: made.on_duty() not in (None, second), 20)
    print(f"\nthe duty moved {seconds:.1f} s after a stop and {killed:.1f} s after a kill")


async def test_a_name_belongs_to_one_process(fleet: tuple[Fleet, Shop, str]) -> None:
    made, _, _ = fleet
    taken = await asyncio.to_thread(finish, (*CLI, "serve", "--config", str(made[1].config), "--port", "0"), 60)
    assert taken.returncode == 1 and "another gateway of this name is running" in taken.stderr
    listed = await asyncio.to_thread(finish, (*CLI, "replicas", "--config", str(made[0].config), "--json"), 60)
    rows = json.loads(listed.stdout)
    assert sorted(row["name"] for row in rows) == ["one", "three", "two"]
    assert {row["state"] for row in rows} == {"alive"} and sum(row["duty"] for row in rows) == 1
    shown = await asyncio.to_thread(finish, (*CLI, "replicas", "--config", str(made[0].config)), 60)
    assert made[1].config.parent.name in shown.stdout and str(made[1].port) in shown.stdout


async def test_calls_of_the_dead_are_unknown_of_the_living_go_on_and_of_the_paused_end_as_they_did(
    fleet: tuple[Fleet, Shop, str],
) -> None:
    """One is killed and never comes back, two stands still for a while, three goes on, each with calls under way."""
    made, shop, url = fleet
    async with pool() as session:
        one, two, three = made.client(session, "worker").agents

        def call(agent: Any, text: str, delay: float, **meta: str) -> asyncio.Task[Reply]:
            return asyncio.create_task(agent.call("shop__note", {"text": text, "delay": delay}, **meta))

        lost = call(one, "lost", 60, **{"toolgate/key": "lost"})
        long = call(three, "long", 20, **{"toolgate/key": "long"})
        paused = call(two, "paused", 1, **{"toolgate/key": "paused"})
        plain = call(two, "plain", 1)
        await eventually(lambda: len(shop.executions()) == 4, 10)
        made[0].kill()
        made[1].process.send_signal(signal.SIGSTOP)
        unknown = "SELECT count(*) FROM calls WHERE state = 'unknown'"
        seconds = await eventually(lambda: told(url, unknown) == [3], DEAD)
        print(f"\nnoticed after {seconds:.1f} s")
        for text in ("lost", "paused"):
            again = await three.call("shop__note", {"text": text, "delay": 1}, **{"toolgate/key": text})
            assert again.reason in ("outcome_unknown", "key_conflict"), again
        made[1].process.send_signal(signal.SIGCONT)
        assert ((await paused).text, (await plain).text) == ("paused", "plain")
        assert (await long).text == "long"
        await eventually(lambda: told(url, unknown) == [1], DEAD)
        after = await three.call("shop__note", {"text": "paused", "delay": 1}, **{"toolgate/key": "paused"})
        assert after.text == "paused"
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
    assert sorted(line["text"] for line in shop.executions()) == ["long", "lost", "paused", "plain"]
    outcomes = "SELECT data FROM events WHERE kind = 'outcome' ORDER BY seq"
    ends = [json.loads(data)["outcome"] for data in told(url, outcomes)]
    assert sorted(ends) == ["ok", "ok", "ok", "unknown", "unknown", "unknown"]
    assert made.roll()["two"].state == "alive" and made.roll()["one"].state == "left"
