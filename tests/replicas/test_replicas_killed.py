"""Mixed calls through three replicas, one killed every two seconds, and the database restarted now and then.

The long form is ten minutes:

    TOOLGATE_LONG=1 python -m pytest -s tests/replicas/test_replicas_killed.py
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from databases import Place, Server
from fleet import Fleet
from ledger_parts import servers, settle_all
from load_parts import POLICY, Load, check
from raw_client import eventually, pool
from recorder import Nursery, shops

LONG = os.environ.get("TOOLGATE_LONG") == "1"
SECONDS, RESTART = (600.0, 20.0) if LONG else (16.0, 8.0)
"""How long it goes on, and how long between two restarts of the database."""
KILL = 2.0
AT_ONCE = 30


def until(end: float) -> Iterator[int]:
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1


class Chaos:
    """Kills replicas, each of which is started again at once, and restarts the database."""

    def __init__(self, fleet: Fleet, server: Server) -> None:
        self._fleet, self._server = fleet, server
        self.ready: list[float] = []
        """Seconds until a replica that was killed was ready again."""
        self.restarts = 0
        self._starting: dict[int, asyncio.Task[None]] = {}

    async def go_on(self, end: float) -> None:
        tasks = [asyncio.create_task(each) for each in (self._kill(end), self._restart(end))]
        await asyncio.gather(*tasks)
        await asyncio.gather(*self._starting.values())

    async def _kill(self, end: float) -> None:
        while time.monotonic() + KILL < end:
            await asyncio.sleep(KILL + random.uniform(-0.1, 0.1))
            up = [place for place in range(3) if place not in self._starting]
            if up:
                place = random.choice(up)
                self._fleet[place].kill()
                self._starting[place] = asyncio.create_task(self._start(place))

    async def _start(self, place: int) -> None:
        begun = time.monotonic()
        while True:  # it cannot start while the database is down
            with suppress(RuntimeError):
                await asyncio.to_thread(self._fleet[place].start)
                break
        self.ready.append(time.monotonic() - begun)
        del self._starting[place]

    async def _restart(self, end: float) -> None:
        while time.monotonic() + RESTART < end:
            await asyncio.sleep(RESTART)
            await asyncio.to_thread(self._server.restart, random.choice(["fast", "immediate"]))
            self.restarts += 1


@pytest.mark.timeout(1800 if LONG else 240)
async def test_replicas_killed_and_a_database_restarted_leave_nothing_unrecorded_and_run_nothing_twice(
    nursery: Nursery, tmp_path: Path, postgresql_server: Server
) -> None:
    place = Place(tmp_path / "toolgate.db", postgresql_server.url)
    with (
        shops(nursery, tmp_path, "shop") as (shop,),
        Fleet(tmp_path, postgresql_server.url, servers(shop), POLICY) as fleet,
    ):
        async with pool() as session:
            load, end = Load(fleet.client(session, "worker")), time.monotonic() + SECONDS
            chaos, numbers = Chaos(fleet, postgresql_server), until(end)
            killing = asyncio.create_task(chaos.go_on(end))
            await asyncio.gather(*(load.caller(numbers) for _ in range(AT_ONCE)))
            await killing
        await eventually(lambda: not place.execute("SELECT 1 FROM calls WHERE state = 'open'"), 30)
        ran = Counter(line["text"] for line in shop.executions())
        print(f"\n{load.ended} calls, {len(chaos.ready)} kills, {chaos.restarts} restarts of the database:", end=" ")
        print(f"{sum(ran.values())} executions, told {dict(load.reasons)}")
        print(f"ready again after {statistics.median(chaos.ready):.2f} s, at most {max(chaos.ready):.2f} s")
        check(place.rows("events"), ran, load)
        settled = settle_all(fleet[0].config, ran)
        paid = sum(int(text.rpartition("-")[2]) % 7 for text in ran if text.startswith("pay"))
        print(f"{settled} settled; {paid} paid")
        assert sum(row["total"] for row in place.rows("accounts")) == paid
        assert place.rows("reservations") == []
        assert len(load.answers) > 20 and chaos.restarts
