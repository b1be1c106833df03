"""Sagas of five steps with failures, while the gateway is killed at random: each step done in a run that failed is
undone once and in reverse, or stands with people. TOOLGATE_LONG=1 tries two hundred.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from deeds import Workshop
from gateway_process import GatewayProcess
from raw_client import Reply, eventually
from runs_parts import Agent, agents, beside, gateway

LONG = os.environ.get("TOOLGATE_LONG") == "1"
SAGAS, KILLS, AT_ONCE = (200, 40, 25) if LONG else (12, 4, 12)
SPREAD = KILLS * 0.4 * AT_ONCE / SAGAS
"""Seconds over which sagas that may begin do so."""
STEPS = 5
LEASE = 1.5
MANNERS = [*[""] * 16, *["!1"] * 6, "%"]
"""How steps behave at the tool: most are done and undone, some not undone at the first attempt, few not done."""
FATES = ("finished", "failed", "died")
"""What becomes of a run that nothing went wrong in: its agent says so, or is not heard of again."""


@dataclass(frozen=True, slots=True)
class Saga:
    """One run, and what its agent makes of it."""

    run: str
    fate: str
    length: int

    async def play(self, agent: Agent, pace: random.Random) -> str:
        """Do the steps until one fails, then end as it should; the end it came to."""
        lease = {"lease": LEASE} if self.fate == "died" else {}
        for number in range(self.length):
            name = f"{self.run}.{number}{pace.choice(MANNERS)}"
            key = f"{self.run}/{number}"
            reply = await _insist(agent, self.run, "do", {"name": name}, key=key, **lease)
            if not reply.ok:
                assert reply.reason in (None, "outcome_unknown", "run_closed"), reply
                if self.fate != "died":
                    await _end(agent, self.run, "failed")
                return "failed"
            await asyncio.sleep(pace.uniform(0, 0.2))
        if self.fate != "died":
            await _end(agent, self.run, self.fate)
        return "failed" if self.fate == "died" else self.fate


async def _insist(agent: Agent, run: str, tool: str, arguments: dict[str, object], **meta: object) -> Reply:
    """Call until the gateway is there and knows the tool: with the same key, so that it is one call."""
    while True:
        with suppress(aiohttp.ClientError):
            reply = await agent.call(run, tool, arguments, **meta)
            if reply.reason != "not_found":
                return reply
        await asyncio.sleep(0.05)


async def _end(agent: Agent, run: str, state: str) -> None:
    reply = await _insist(agent, run, "toolgate__mark_run", {"state": state})
    assert reply.ok or reply.reason == "run_closed", reply  # it was marked, and the answer was lost


async def _play_all(gateway: GatewayProcess, sagas: list[Saga], pace: random.Random) -> dict[str, str]:
    """Play sagas while the gateway is killed and started again; what each came to."""
    ends: dict[str, str] = {}
    free = asyncio.Semaphore(AT_ONCE)

    async def one(agent: Agent, saga: Saga) -> None:
        async with free:
            await asyncio.sleep(pace.uniform(0, SPREAD))
            ends[saga.run] = await saga.play(agent, pace)

    async with agents(gateway, "worker") as (worker,):
        playing = [asyncio.create_task(one(worker, saga)) for saga in sagas]
        for _ in range(KILLS):
            await asyncio.sleep(pace.uniform(0.1, 0.6))
            gateway.kill()
            await asyncio.to_thread(gateway.start)
        await asyncio.gather(*playing)
    return ends


def _all_over(gateway: GatewayProcess, failed: list[str]) -> bool:
    with beside(gateway) as state:
        states = {run.run: run.state for run in state.runs.find()}
    return all(states.get(run, "rolled_back") == "rolled_back" for run in failed)


def _standing(gateway: GatewayProcess) -> set[str]:
    """The names of what people are asked about: undoings that are stuck, and calls of unknown outcome."""
    with beside(gateway) as state:
        tickets = state.approvals.find(states=["pending"], limit=10_000)
        return {str(ticket.shown["name"]) for ticket in tickets} | {
            json.loads(each.shown)["name"] for each in state.ledger.unknown()
        }


def _check(saga: Saga, end: str, deeds: list[tuple[str, str]], standing: set[str]) -> int:
    """How many steps of this saga stand with people."""
    did = [name for tool, name in deeds if tool == "do"]
    undone = [name for tool, name in deeds if tool == "undo"]
    assert max(Counter(did).values(), default=0) <= 1, f"{saga.run}: done twice"
    assert max(Counter(undone).values(), default=0) <= 1, f"{saga.run}: undone twice"
    if end == "finished":
        assert len(did) == saga.length and undone == []
        return 0
    assert undone == [name for name in reversed(did) if name in undone], f"{saga.run}: not in reverse"
    assert set(did) <= {*undone} | standing, f"{saga.run}: neither undone nor with people"
    return len(set(did) & standing)


async def test_every_step_of_a_failed_run_is_undone_once_in_reverse_or_stands_with_people(
    workshop: Workshop, tmp_path: Path
) -> None:
    pace = random.Random(os.environ.get("TOOLGATE_SEED", "sagas"))
    sagas = [Saga(f"saga{n}", FATES[n % 3], pace.randint(1, STEPS) if n % 3 else STEPS) for n in range(SAGAS)]
    with gateway(tmp_path, workshop) as serving:
        ends = await _play_all(serving, sagas, pace)
        failed = [run for run, end in ends.items() if end == "failed"]
        seconds = await eventually(lambda: _all_over(serving, failed), 60)
        standing = _standing(serving)
        deeds = {saga.run: workshop.deeds(saga.run) for saga in sagas}
        left = sum(_check(saga, ends[saga.run], deeds[saga.run], standing) for saga in sagas)
        with beside(serving) as state:
            assert all(not state.runs.steps("worker", run) for run, end in ends.items() if end == "finished")
    did = Counter(tool for told in deeds.values() for tool, _ in told)
    print(f"\n{SAGAS} sagas, {KILLS} kills: {len(failed)} failed, {did['do']} steps done, {did['undo']} undone once,")
    print(f"{left} stand with people; all over {seconds:.1f} s after the last agent was done")
