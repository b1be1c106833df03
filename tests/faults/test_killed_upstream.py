"""Calls to two upstreams while a third is killed and started again, every second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from fault_parts import POLICIES, http
from gateway_process import GatewayProcess
from processes import listening
from raw_client import Modern, Reply, eventually, pool
from recorder import Nursery, Shop, shops

OTHERS, VICTIM = ("left", "right"), "victim"
SERVERS = (*OTHERS, VICTIM)
CALLS, IN_FLIGHT = 1000, 50
WORK = 0.22
"""Seconds each call takes in its tool, so that the load outlasts several kills."""
ALLOWED = 0.25
"""Seconds by which the slowest call may be slower than the slowest without the killing."""


async def load(url: str, headers: dict[str, str], label: str) -> dict[str, list[Reply]]:
    """CALLS calls, IN_FLIGHT at a time, spread over the servers; the replies of each."""
    replies: dict[str, list[Reply]] = {server: [] for server in SERVERS}
    todo = iter(range(CALLS))

    async def caller(agent: Modern) -> None:
        for number in todo:
            server = SERVERS[number % len(SERVERS)]
            arguments = {"text": f"{label}-{number}", "delay": WORK}
            reply = await agent.call(f"{server}__note", arguments, id=number)
            assert not reply.ok or reply.text == arguments["text"]
            replies[server].append(reply)

    async with pool() as session:
        await asyncio.gather(*(caller(Modern(session, url, headers)) for _ in range(IN_FLIGHT)))
    return replies


@asynccontextmanager
async def killed_every_second(victim: Shop) -> AsyncIterator[list[float]]:
    """Kill -9 and start again each second; when the block ends it has just been started."""
    kills: list[float] = []

    async def torment() -> None:
        while True:
            await asyncio.sleep(1)
            victim.kill()
            kills.append(time.monotonic())
            await eventually(lambda: not listening(victim.port), 5)
            victim.launch()

    task = asyncio.create_task(torment())
    try:
        yield kills
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        victim.kill()
        await eventually(lambda: not listening(victim.port), 5)
        victim.start()


async def test_killing_one_upstream_again_and_again_costs_the_others_nothing(nursery: Nursery, tmp_path: Path) -> None:
    with shops(nursery, tmp_path, *SERVERS) as made, GatewayProcess(tmp_path, http(made), POLICIES) as gateway:
        process = psutil.Process(gateway.process.pid)
        headers = gateway.headers("worker")
        calm = await load(gateway.url(), headers, "calm")
        before = await settled(process)
        async with killed_every_second(made[-1]) as kills:
            rough = await load(gateway.url(), headers, "rough")
        back = await eventually(lambda: works(gateway.url(), headers), 5)
        after = await settled(process)
        slowest = [max(reply.seconds for name in OTHERS for reply in replies[name]) for replies in (calm, rough)]
        lost = sum(not reply.ok for reply in rough[VICTIM])
        print(f"\n{len(kills)} kills: {lost} of {len(rough[VICTIM])} calls of the victim failed, back in {back:.2f} s")
        print("slowest call of the others {:.3f} s without, {:.3f} s with".format(*slowest))
        print(f"descriptors, threads, MB: {before} before, {after} after")
        assert all(reply.ok for name in OTHERS for reply in (*calm[name], *rough[name]))
        assert len(kills) >= 3 and 0 < lost < len(rough[VICTIM])
        assert slowest[1] < slowest[0] + ALLOWED
        assert after[0] <= before[0] + 10 and after[1] <= before[1] and after[2] < before[2] + 20
    for shop in made:
        texts = [line["text"] for line in shop.executions()]
        assert len(texts) == len(set(texts))


async def works(url: str, headers: dict[str, str]) -> bool:
    async with pool() as session:
        agent = Modern(session, url, headers)
        return f"{VICTIM}__note" in await agent.tools() and (await agent.call(f"{VICTIM}__note", {"text": "back"})).ok


async def settled(process: psutil.Process) -> tuple[int, int, int]:
    """Descriptors, threads and megabytes of the gateway once its descriptors have not changed for half a second."""
    seen: list[int] = []

    def steady() -> bool:
        seen.append(process.num_fds())
        return len(seen) > 25 and len(set(seen[-25:])) == 1

    await eventually(steady, 10)
    return seen[-1], process.num_threads(), process.memory_info().rss // 2**20
