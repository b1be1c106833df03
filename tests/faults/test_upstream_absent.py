"""An upstream that is not there: at the start, or later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fault_parts import POLICIES, http
from gateway_process import GatewayProcess
from raw_client import Modern, eventually, pool
from recorder import Nursery, Shop, shops

CHANGED = "notifications/tools/list_changed"
PATIENCE = 5.0
"""Seconds within which a reachable upstream is back."""


async def servers_of(agent: Modern) -> set[str]:
    """The upstreams whose tools are listed; the gateway's own are always there."""
    return {name.split("__")[0] for name in await agent.tools()} - {"toolgate"}


async def test_an_upstream_that_is_down_at_start_is_missed_by_nobody_and_appears_when_it_comes_up(
    nursery: Nursery, tmp_path: Path
) -> None:
    late = Shop(nursery, "late", tmp_path)
    with (
        shops(nursery, tmp_path, "prompt") as (prompt,),
        GatewayProcess(tmp_path, http([prompt, late]), POLICIES) as gateway,
    ):
        async with pool() as session:
            agent = Modern(session, gateway.url(), gateway.headers("worker"))
            assert await servers_of(agent) == {"prompt"}
            assert (await agent.call("prompt__note", {"text": "here"})).text == "here"
            refused = await agent.call("late__note", {"text": "anyone?"})
            assert not refused.ok and refused.reason in ("not_found", "upstream_unreachable")
            try:
                late.start()
                took = await eventually(lambda: listed(agent, {"prompt", "late"}), PATIENCE)
                assert (await agent.call("late__note", {"text": "late"})).text == "late"
                print(f"\nlisted {took:.2f} s after it was reachable")
            finally:
                late.kill()


async def listed(agent: Modern, servers: set[str]) -> bool:
    return await servers_of(agent) == servers


async def test_the_tools_of_an_upstream_that_dies_vanish_and_return_and_clients_are_told(
    nursery: Nursery, tmp_path: Path
) -> None:
    with (
        shops(nursery, tmp_path, "steady", "mortal") as (steady, mortal),
        GatewayProcess(tmp_path, http([steady, mortal]), POLICIES) as gateway,
    ):
        async with pool() as session:
            agent = Modern(session, gateway.url(), gateway.headers("worker"))
            heard: list[str] = []
            ready = asyncio.Event()
            listening = asyncio.create_task(agent.listen(heard, ready))
            await asyncio.wait_for(ready.wait(), PATIENCE)
            mortal.kill()
            await eventually(lambda: listed(agent, {"steady"}), PATIENCE)
            await eventually(lambda: heard.count(CHANGED) == 1, PATIENCE)
            mortal.start()
            await eventually(lambda: listed(agent, {"steady", "mortal"}), PATIENCE)
            await eventually(lambda: heard.count(CHANGED) == 2, PATIENCE)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
