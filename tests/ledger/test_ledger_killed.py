"""Mixed calls, fifty in flight, and the gateway killed at random points: each promise of the ledger, by the recorder.

The long form is 10,000 calls and 200 kills:

    TOOLGATE_LONG=1 python -m pytest -s tests/ledger/test_ledger_killed.py
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from pathlib import Path

import aiohttp
import psutil
import pytest
from gateway_process import GatewayProcess
from ledger_parts import rows, servers, settle_all
from load_parts import POLICY, Load, check
from raw_client import Modern, eventually
from recorder import Nursery, shops

LONG = os.environ.get("TOOLGATE_LONG") == "1"
CALLS, KILLS = (10_000, 200) if LONG else (600, 6)
AT_ONCE = 50


async def kill_now_and_then(gateway: GatewayProcess, load: Load) -> list[tuple[float, float]]:
    """Kill it `KILLS` times over the whole load; each time, the seconds until it was ready again, and those of CPU."""
    starts: list[tuple[float, float]] = []
    for kill in range(1, KILLS + 1):
        await eventually(lambda least=kill * CALLS // (KILLS + 1): load.ended >= least, 60)
        await asyncio.sleep(random.uniform(0, 0.03))
        gateway.kill()
        begun = time.monotonic()
        await asyncio.to_thread(gateway.start)
        used = psutil.Process(gateway.process.pid).cpu_times()
        starts.append((time.monotonic() - begun, used.user + used.system))
    return starts


@pytest.mark.timeout(3600 if LONG else 120)
async def test_whenever_it_is_killed_nothing_runs_unrecorded_or_twice_and_every_reply_is_the_recorded_one(
    nursery: Nursery, tmp_path: Path
) -> None:
    with shops(nursery, tmp_path, "shop") as (shop,), GatewayProcess(tmp_path, servers(shop), POLICY) as gateway:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as session:
            load, numbers = Load(Modern(session, gateway.url(), gateway.headers("worker"))), iter(range(CALLS))
            killing = asyncio.create_task(kill_now_and_then(gateway, load))
            await asyncio.gather(*(load.caller(numbers) for _ in range(AT_ONCE)))
            starts = await killing
        gateway.kill()
        gateway.start()
        ran = Counter(line["text"] for line in shop.executions())
        print(f"\n{CALLS} calls, {KILLS} kills: {sum(ran.values())} executions, told {dict(load.reasons)}")
        seconds, used = zip(*starts, strict=True)
        print(f"ready again after {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s", end="")
        print(f", of which {max(used):.2f} s of CPU")
        database = tmp_path / "var" / "toolgate.db"
        check(rows(database, "events"), ran, load)
        settled = settle_all(gateway.config, ran)
        print(f"{settled} settled")
        paid = sum(int(text.rpartition("-")[2]) % 7 for text in ran if text.startswith("pay"))
        assert sum(row["total"] for row in rows(database, "accounts")) == paid
        assert rows(database, "reservations") == []
        assert [event["kind"] for event in rows(database, "events")].count("settled") == settled
        assert max(used) < 5, "of CPU, for others may use the machine too"
