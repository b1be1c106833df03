"""The gateway is killed under load, again and again: what its events say must agree with what really ran."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import aiohttp
from fault_parts import POLICIES, events, http
from gateway_process import GatewayProcess
from raw_client import Modern, eventually, pool
from recorder import Nursery, shops

LONG = os.environ.get("TOOLGATE_LONG") == "1"
KILLS = 50 if LONG else 5
CALLERS = 20


async def call_for_ever(agent: Modern, name: str, answered: set[str]) -> None:
    """Call one after the other with a key each; note the keys that were answered by the tool."""
    number = 0
    while True:
        number += 1
        key = f"{name}-{number}"
        with suppress(aiohttp.ClientError):
            reply = await agent.call("shop__note", {"text": key, "delay": 0.005}, **{"toolgate/key": key})
            if reply.ok:
                assert reply.text == key
                answered.add(key)


async def load_until_killed(gateway: GatewayProcess, headers: dict[str, str], round: int) -> set[str]:
    """Load the gateway, kill it at a random point; the keys that were answered."""
    answered: set[str] = set()
    async with pool() as session:
        agent = Modern(session, gateway.url(), headers)
        callers = [
            asyncio.create_task(call_for_ever(agent, f"{round}-{caller}", answered)) for caller in range(CALLERS)
        ]
        await eventually(lambda: len(answered) >= CALLERS, 20)
        await asyncio.sleep(random.uniform(0, 0.3))
        gateway.process.kill()
        for caller in callers:
            caller.cancel()
        for ended in await asyncio.gather(*callers, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended
    gateway.process.wait()
    return answered


async def test_what_ran_has_a_durable_intent_and_what_was_answered_an_outcome(nursery: Nursery, tmp_path: Path) -> None:
    extra = "max_concurrent = 200\n[throttle]\nper_second = 100000\nburst = 100000"
    with (
        shops(nursery, tmp_path, "shop") as (shop,),
        GatewayProcess(tmp_path, http([shop], extra), POLICIES) as gateway,
    ):
        headers, answered, starts = gateway.headers("worker"), set[str](), list[float]()
        for round in range(KILLS):
            answered |= await load_until_killed(gateway, headers, round)
            begun = time.monotonic()
            gateway.start()
            starts.append(time.monotonic() - begun)
        ran = Counter(line["key"] for line in shop.executions())
        intents = {event["key"]: event["call"] for event in events(tmp_path, "intent")}
        outcomes = {event["call"]: event["reason"] for event in events(tmp_path, "outcome")}
        unfinished = {key for key, call in intents.items() if outcomes[call] == "crashed"}
        print(f"\n{KILLS} kills, {sum(ran.values())} executions, {len(answered)} answered, {len(unfinished)} unknown")
        print(f"ready again within {max(starts):.2f} s")
        assert ran.keys() <= intents.keys(), "ran without an intent"
        assert set(ran.values()) == {1}, "ran twice"
        assert answered <= ran.keys() and not answered & unfinished, "answered without an outcome"
        assert len(unfinished) <= KILLS * CALLERS
        told = re.findall(r"(\d+) calls have no outcome", gateway.output)
        assert sum(map(int, told)) == len(unfinished)
