"""Replicas stop in good order and start again, one after the other, under load: nothing is lost or runs twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from databases import Place
from fleet import Balanced, Fleet
from ledger_parts import POLICIES, servers
from raw_client import eventually, pool
from recorder import Nursery, shops

AT_ONCE = 12
AGAIN = ("in_flight", "upstream_unreachable", "not_found")


async def caller(agent: Balanced, numbers: Iterator[int], done: list[str], over: asyncio.Event) -> None:
    """Make calls with a key each; one that is not answered is made again, by the next replica."""
    while not over.is_set():
        text = f"n-{next(numbers)}"
        while True:
            with suppress(aiohttp.ClientError):
                reply = await agent.call("shop__note", {"text": text, "delay": 0.05}, **{"toolgate/key": text})
                if reply.reason == "outcome_unknown":  # it was cut off, for it took longer than the grace of a stop
                    break
                if reply.ok:
                    assert reply.text == text
                    done.append(text)
                    break
                assert reply.status != 200 or reply.reason in AGAIN, reply
            await asyncio.sleep(0.05)


async def more(done: list[str]) -> None:
    """Wait until the load has gone on for a while."""
    least = len(done) + 50
    await eventually(lambda: len(done) >= least, 60)


@pytest.mark.timeout(240)
async def test_replicas_that_stop_and_start_under_load_lose_nothing(
    nursery: Nursery, tmp_path: Path, postgresql: Place
) -> None:
    assert postgresql.url is not None
    with (
        shops(nursery, tmp_path, "shop") as (shop,),
        Fleet(tmp_path, postgresql.url, servers(shop), {"worker.toml": POLICIES["worker.toml"]}) as fleet,
    ):
        done, over, numbers = list[str](), asyncio.Event(), iter(range(1_000_000))
        async with pool() as session:
            agent = fleet.client(session, "worker")
            callers = [asyncio.create_task(caller(agent, numbers, done, over)) for _ in range(AT_ONCE)]
            for gateway in fleet.gateways:
                await more(done)
                assert await asyncio.to_thread(gateway.stop) == 0
                await more(done)
                await asyncio.to_thread(gateway.start)
            over.set()
            await asyncio.gather(*callers)
        ran = Counter(line["text"] for line in shop.executions())
        outcomes = [json.loads(row["data"]) for row in postgresql.rows("events") if row["kind"] == "outcome"]
        ends = Counter(outcome["outcome"] for outcome in outcomes)
        print(f"\n{len(done)} calls, {len(fleet.gateways)} stops: outcomes {dict(ends)}")
        assert set(ran.values()) == {1} and set(done) <= ran.keys()
        doubted = set(ran) - set(done)
        assert len(doubted) <= ends["unknown"] <= AT_ONCE, doubted
        assert {each.state for each in fleet.roll().values()} == {"alive"}
