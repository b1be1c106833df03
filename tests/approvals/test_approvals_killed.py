"""The gateway is killed while tickets are opened, decided on and used: each call runs once, or never."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import aiohttp
from gateway_process import GatewayProcess
from raw_client import Modern, pool
from recorder import Nursery, shops

from gateway.approvals import Ticket
from gateway.config import load_without_servers
from gateway.state import State

LONG = os.environ.get("TOOLGATE_LONG") == "1"
KILLS = 60 if LONG else 4
AT_ONCE = 10

POLICY = """
agent = "worker"
description = "Calls what people allow."
[[allow]]
tool = "shop/note"
gate = { type = "approval" }
"""


class Caller:
    """Makes calls with a key each, again and again until it knows what came of them."""

    def __init__(self) -> None:
        self.fates: dict[str, str] = {}
        """By key: `ok`, or the reason of a refusal that is final."""
        self.texts: dict[str, str] = {}

    async def settle(self, agent: Modern, key: str) -> None:
        while key not in self.fates:
            with suppress(aiohttp.ClientError, asyncio.TimeoutError):
                reply = await agent.call("shop__note", {"text": key, "delay": 0.02}, **{"toolgate/key": key})
                if reply.ok and "toolgate/pending" not in reply.result.get("_meta", {}):
                    self.fates[key], self.texts[key] = "ok", reply.text
                elif reply.reason in ("rejected", "outcome_unknown", "ticket_used", "key_conflict"):
                    self.fates[key] = reply.reason
            await asyncio.sleep(0.05)


class Reviewing:
    """Decides on what is pending, beside the gateway, as the command line does."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.verdicts: dict[str, str] = {}
        """By key."""

    async def decide_for_ever(self) -> None:
        while True:
            for ticket in await asyncio.to_thread(self.state.approvals.find, states=["pending"]):
                await asyncio.to_thread(self._decide, ticket)
            await asyncio.sleep(0.05)

    def _decide(self, ticket: Ticket) -> None:
        verdict = random.choices(["approve", "edit", "reject"], [7, 2, 2])[0]
        arguments = {**ticket.given, "text": f"{ticket.key}!"} if verdict == "edit" else None
        decide = partial(self.state.approvals.decide, ticket=ticket.id, reviewer="rita", arguments=arguments)
        assert ticket.key is not None
        self.verdicts[ticket.key] = verdict  # before the gateway can know
        self.state.store.run(partial(decide, verdict="reject" if verdict == "reject" else "approve"))


async def kill_again_and_again(gateway: GatewayProcess) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(random.uniform(0.05, 0.8))
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)


async def load(gateway: GatewayProcess, headers: dict[str, str], reviewing: Reviewing) -> Caller:
    """Call for as long as the gateway is killed, and until all that was begun is settled."""
    caller, keys = Caller(), count()

    async def one(agent: Modern, killing: asyncio.Task[None]) -> None:
        while not killing.done():
            await caller.settle(agent, f"k{next(keys)}")

    async with pool() as session, asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(reviewing.decide_for_ever())
        agent = Modern(session, gateway.url(), headers)
        killing = tasks.create_task(kill_again_and_again(gateway))
        await asyncio.gather(*(one(agent, killing) for _ in range(AT_ONCE)))
        deciding.cancel()
    return caller


async def test_each_approved_call_runs_once_and_no_other_runs(nursery: Nursery, tmp_path: Path) -> None:
    with shops(nursery, tmp_path, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\n[approvals]\nhold = 1\n'
        with GatewayProcess(tmp_path, servers, {"worker.toml": POLICY}) as gateway:
            state = State(load_without_servers(gateway.config, os.environ))
            try:
                reviewing = Reviewing(state)
                caller = await load(gateway, gateway.headers("worker"), reviewing)
            finally:
                state.close()
        ran = Counter(line["key"] for line in shop.executions())
        texts = {line["key"]: line["text"] for line in shop.executions()}
    fates = Counter(caller.fates.values())
    print(f"\n{KILLS} kills, {fates.total()} calls: {dict(fates)}, {sum(ran.values())} executions")
    assert set(ran.values()) <= {1}, "ran twice"
    assert fates.keys() <= {"ok", "rejected", "outcome_unknown"}
    for key, fate in caller.fates.items():
        verdict = reviewing.verdicts[key]
        assert (fate == "rejected") is (verdict == "reject")
        if fate == "ok":
            assert ran[key] == 1 and caller.texts[key] == texts[key]
        elif fate == "rejected":
            assert ran[key] == 0
        if key in texts:
            assert texts[key] == (f"{key}!" if verdict == "edit" else key)
