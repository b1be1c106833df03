"""Sagas through three replicas, of which two are killed again and again and one for good: each step done in a run that
failed is undone once and in reverse, by whoever is left, or stands with people. TOOLGATE_LONG=1 tries two hundred.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from databases import Place
from deeds import Workshop
from fleet import Fleet
from raw_client import eventually, pool
from runs_parts import Agent, policy
from saga_parts import FATES, Saga, check_saga, standing

LONG = os.environ.get("TOOLGATE_LONG") == "1"
SAGAS, KILLS, AT_ONCE = (200, 30, 25) if LONG else (12, 3, 12)
STEPS = 5
SETTINGS = "[runs]\nbase = 0.02\ncap = 0.2\n[throttle]\nper_second = 100000\nburst = 100000\n"


async def play_all(fleet: Fleet, sagas: list[Saga], pace: random.Random) -> dict[str, str]:
    """Play sagas while replicas are killed, the last one for good; what each came to."""
    ends: dict[str, str] = {}
    free = asyncio.Semaphore(AT_ONCE)

    async def one(agent: Agent, saga: Saga) -> None:
        async with free:
            ends[saga.run] = await saga.play(agent, pace)

    async with pool() as session:
        worker = Agent("worker", fleet.client(session, "worker"))
        playing = [asyncio.create_task(one(worker, saga)) for saga in sagas]
        await asyncio.sleep(0.5)
        fleet[2].kill()
        for kill in range(KILLS):
            await asyncio.sleep(pace.uniform(0.2, 0.8))
            fleet[kill % 2].kill()
            await asyncio.to_thread(fleet[kill % 2].start)
        await asyncio.gather(*playing)
    return ends


def all_over(fleet: Fleet, failed: list[str]) -> bool:
    state = fleet.beside()
    states = {run.run: run.state for run in state.runs.find()}
    state.close()
    return all(states.get(run, "rolled_back") == "rolled_back" for run in failed)


@pytest.mark.timeout(1800 if LONG else 240)
async def test_every_step_of_a_failed_run_is_undone_once_in_reverse_by_whoever_is_left(
    workshop: Workshop, tmp_path: Path, postgresql: Place
) -> None:
    pace = random.Random(os.environ.get("TOOLGATE_SEED", "sagas of replicas"))
    sagas = [Saga(f"saga{n}", FATES[n % 3], pace.randint(1, STEPS) if n % 3 else STEPS) for n in range(SAGAS)]
    assert postgresql.url is not None
    with Fleet(tmp_path, postgresql.url, f"{workshop.table()}\n{SETTINGS}", policy("worker")) as fleet:
        ends = await play_all(fleet, sagas, pace)
        failed = [run for run, end in ends.items() if end == "failed"]
        seconds = await eventually(lambda: asyncio.to_thread(all_over, fleet, failed), 90)
        state = fleet.beside()
        asked = standing(state)
        deeds = {saga.run: workshop.deeds(saga.run) for saga in sagas}
        left = sum(check_saga(saga, ends[saga.run], deeds[saga.run], asked) for saga in sagas)
        assert all(not state.runs.steps("worker", run) for run, end in ends.items() if end == "finished")
        state.close()
    did = Counter(tool for told in deeds.values() for tool, _ in told)
    print(
        f"\n{SAGAS} sagas, {KILLS + 1} kills: {len(failed)} failed, {did['do']} steps done, {did['undo']} undone once,"
    )
    print(f"{left} stand with people; all over {seconds:.1f} s after the last agent was done")
