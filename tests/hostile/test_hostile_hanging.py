"""A tool server that answers nobody: callers of another do not notice, and when it is over nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest
from gateway_process import GatewayProcess
from processes import free_port, listening, running
from raw_client import Modern, Reply, eventually, pool

pytestmark = pytest.mark.timeout(600)

UPSTREAM = Path(__file__).parents[2] / "bench/upstream.py"
HANGING = 1000 if os.environ.get("TOOLGATE_LONG") else 200
DEADLINE = 15.0
"""Seconds that a call of the server `brief` may take; those of `bad` may take an hour."""
GOOD = 200
IN_FLIGHT = 4
POLICIES = {"clerk.toml": 'agent = "clerk"\ndescription = "Calls."\n[[allow]]\ntool = "*/echo"\n'}


@dataclass(frozen=True, slots=True)
class Shops:
    gateway: GatewayProcess
    headers: dict[str, str]
    bad: psutil.Process

    def held(self) -> int:
        """Descriptors that the gateway has open."""
        return int(psutil.Process(self.gateway.process.pid).num_fds())

    def memory(self) -> float:
        """MB that are the gateway's own."""
        return float(psutil.Process(self.gateway.process.pid).memory_full_info().uss) / 1e6

    def hanging(self) -> int:
        """Connections that the bad server has; one or two are the gateway's own."""
        return len(self.bad.net_connections("tcp")) - 1

    async def idle(self, session: aiohttp.ClientSession) -> bool:
        """Whether neither the bad server nor the gateway has a call any more; its end is on record then."""
        async with session.get(self.gateway.url("/metrics")) as response:
            found = re.findall(r"^toolgate_calls_in_flight(?:\{.*\})? (\S+)$", await response.text(), re.MULTILINE)
        assert found
        return self.hanging() < 5 and not sum(map(float, found))


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    folder, processes = tmp_path_factory.mktemp("hanging"), {}
    tables = "[throttle]\nper_second = 100000\nburst = 100000\n"
    with ExitStack() as stack:
        for name in ("good", "bad"):
            port = free_port()
            command = (sys.executable, str(UPSTREAM), str(port))
            ready = lambda port=port: listening(port)  # noqa: E731
            processes[name] = stack.enter_context(running(command, ready, folder / f"{name}.log"))
            for alias, seconds in {"good": [("good", 3600)], "bad": [("bad", 3600), ("brief", DEADLINE)]}[name]:
                tables += f'[servers.{alias}]\nurl = "http://127.0.0.1:{port}/mcp"\nera = "modern"\n'
                tables += f"timeout = {seconds}\nmax_concurrent = {HANGING}\n"
        gateway = stack.enter_context(GatewayProcess(folder, tables, POLICIES))
        yield Shops(gateway, gateway.headers("clerk"), psutil.Process(processes["bad"].pid))


async def hang(client: Modern, server: str, number: int) -> Reply | None:
    """A call that is not answered; None when its client gave up."""
    try:
        return await client.call(f"{server}__echo", {"text": "hang"}, id=number)
    except (aiohttp.ClientError, asyncio.CancelledError):
        return None


async def worst(client: Modern) -> float:
    """Seconds that 99 of 100 calls of the good server take at most; all are answered right."""
    taken: list[float] = []

    async def caller(first: int) -> None:
        for number in range(first, GOOD, IN_FLIGHT):
            begun = time.perf_counter()
            reply = await client.call("good__echo", {"text": f"well {number}"}, id=number)
            taken.append(time.perf_counter() - begun)
            assert reply.ok and reply.text == f"well {number}"

    await asyncio.gather(*(caller(first) for first in range(IN_FLIGHT)))
    return sorted(taken)[int(len(taken) * 0.99) - 1]


async def test_hanging_calls_cost_others_next_to_nothing_and_leave_nothing(shops: Shops) -> None:
    """How much exactly is for bench/isolation.py to say; here the machine may have other things to do."""
    memory: list[float] = []
    async with pool() as session:
        client = Modern(session, shops.gateway.url(), shops.headers)
        await worst(client)
        before = shops.held()
        for _ in range(3):
            alone = await worst(client)
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(600)
            ) as others:
                patient = Modern(others, client.url, client.headers)
                calls: list[asyncio.Task[Reply | None]] = []
                for first in range(0, HANGING, 50):
                    calls += [asyncio.create_task(hang(patient, "bad", first + number)) for number in range(50)]
                    await eventually(lambda calls=calls: shops.hanging() >= len(calls), 60)
                beside = await worst(client)
                for call in calls:
                    call.cancel()
                assert await asyncio.gather(*calls) == [None] * HANGING
            assert beside < 2 * alone + 0.25, (alone, beside)
            await eventually(lambda: shops.idle(session), 60)
            memory.append(shops.memory())
        await eventually(lambda: shops.held() <= before + 5, 30)
    assert memory[-1] - memory[0] < 20, memory


async def test_calls_that_hang_until_their_deadline_are_all_answered_and_leave_nothing(shops: Shops) -> None:
    async with pool() as session:
        client = Modern(session, shops.gateway.url(), shops.headers)
        before = shops.held()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(600)
        ) as others:
            patient = Modern(others, client.url, client.headers)
            calls = [asyncio.create_task(hang(patient, "brief", number)) for number in range(HANGING)]
            assert (await client.call("good__echo", {"text": "well"})).text == "well"
            replies = await asyncio.gather(*calls)
        assert {reply.reason for reply in replies if reply} <= {"deadline_exceeded", "circuit_open"}
        assert [reply.message["id"] for reply in replies if reply] == [*range(HANGING)]
        await eventually(lambda: shops.idle(session), 60)
        await eventually(lambda: shops.held() <= before + 5, 30)
