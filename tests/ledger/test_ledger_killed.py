"""Mixed calls, fifty in flight, and the gateway killed at random points: each promise of the ledger, by the recorder.

The long form is 10,000 calls and 200 kills:

    TOOLGATE_LONG=1 python -m pytest -s tests/ledger/test_ledger_killed.py
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from gateway_process import GatewayProcess
from ledger_parts import POLICIES, digests, rows, servers, settle_all
from raw_client import Modern, eventually
from recorder import Nursery, shops

LONG = os.environ.get("TOOLGATE_LONG") == "1"
CALLS, KILLS = (10_000, 200) if LONG else (600, 6)
AT_ONCE = 50
ONCE = ("note", "pay")
"""Tools that are not idempotent."""
KINDS = ("note keyed", "note plain", "note run", "look keyed", "look plain", "pay keyed")

POLICY = {
    "worker.toml": POLICIES["worker.toml"].replace("shop/*", "shop/note")
    + '[[allow]]\ntool = "shop/look"\n'
    + '[[allow]]\ntool = "shop/pay"\nbudget = [{ sum = "amount", max = 1000000000, per = "day" }]\n'
}


@dataclass
class Load:
    """What callers were told: texts that were answered, with the answer, and reasons of refusals."""

    agent: Modern
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    reasons: Counter[str | None] = field(default_factory=Counter)
    ended: int = 0

    async def caller(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            tool, kind = KINDS[number % len(KINDS)].split()
            text = f"{tool}-{kind}-{number}"
            arguments = {"text": text, "amount": number % 7, "delay": random.choice([0, 0.002, 0.02])}
            meta = {"toolgate/key": text} if kind == "keyed" else {"toolgate/run": f"r-{number % 9}"}
            await self._until_told(tool, text, arguments, meta if kind != "plain" else {})
            self.ended += 1

    async def _until_told(self, tool: str, text: str, arguments: dict[str, Any], meta: dict[str, str]) -> None:
        """Call; when nothing comes back, a call that has a key, or is idempotent, is made again."""
        while True:
            with suppress(aiohttp.ClientError):
                reply = await self.agent.call(f"shop__{tool}", arguments, **meta)
                if reply.status == 200 and reply.reason not in ("upstream_unreachable", "not_found"):
                    self.reasons[reply.reason] += 1
                    if reply.ok:
                        assert reply.text == text
                        self.answers[text] = reply.result
                    return
            if tool in ONCE and "toolgate/key" not in meta:
                return
            await asyncio.sleep(0.05)


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
        check(database, ran, load)
        settled = settle_all(gateway.config, ran)
        print(f"{settled} settled")
        paid = sum(int(text.rpartition("-")[2]) % 7 for text in ran if text.startswith("pay"))
        assert sum(row["total"] for row in rows(database, "accounts")) == paid
        assert rows(database, "reservations") == []
        assert [event["kind"] for event in rows(database, "events")].count("settled") == settled
        assert max(used) < 5, "of CPU, for others may use the machine too"


def check(database: Path, ran: Counter[str], load: Load) -> None:
    """What ran, what is recorded and what was answered agree."""
    events = rows(database, "events")
    texts = {
        event["call"]: json.loads(event["data"])["arguments"]["text"] for event in events if event["kind"] == "intent"
    }
    outcomes = {event["call"]: json.loads(event["data"]) for event in events if event["kind"] == "outcome"}
    assert ran.keys() <= set(texts.values()), "ran without a durable intent"
    assert texts.keys() == outcomes.keys(), "every intent has its outcome"
    twice = [text for text, times in ran.items() if times > 1 and text.startswith(ONCE)]
    assert not twice, "ran twice"
    recorded: dict[str, set[str]] = {}
    for call, outcome in outcomes.items():
        if outcome["outcome"] == "ok":
            recorded.setdefault(texts[call], set()).add(outcome["result"])
    for text, answer in load.answers.items():
        assert text in ran and recorded[text] & digests(answer), text
    doubted = {texts[call] for call, outcome in outcomes.items() if outcome["outcome"] == "unknown"}
    lost = {text for text in ran if text.startswith(ONCE)} - recorded.keys()
    assert lost <= doubted, "ran, and nobody asks whether it did"
