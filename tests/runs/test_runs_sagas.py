"""Sagas of five steps with failures, while the gateway is killed at random: each step done in a run that failed is
undone once and in reverse, or stands with people. TOOLGATE_LONG=1 tries two hundred.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

from deeds import Workshop
from gateway_process import GatewayProcess
from raw_client import eventually
from runs_parts import Agent, agents, beside, gateway
from saga_parts import FATES, Saga, check_saga, standing

LONG = os.environ.get("TOOLGATE_LONG") == "1"
SAGAS, KILLS, AT_ONCE = (200, 40, 25) if LONG else (12, 4, 12)
SPREAD = KILLS * 0.4 * AT_ONCE / SAGAS
"""Seconds over which sagas that may begin do so."""
STEPS = 5


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


async def test_every_step_of_a_failed_run_is_undone_once_in_reverse_or_stands_with_people(
    workshop: Workshop, tmp_path: Path
) -> None:
    pace = random.Random(os.environ.get("TOOLGATE_SEED", "sagas"))
    sagas = [Saga(f"saga{n}", FATES[n % 3], pace.randint(1, STEPS) if n % 3 else STEPS) for n in range(SAGAS)]
    with gateway(tmp_path, workshop) as serving:
        ends = await _play_all(serving, sagas, pace)
        failed = [run for run, end in ends.items() if end == "failed"]
        seconds = await eventually(lambda: _all_over(serving, failed), 60)
        with beside(serving) as state:
            asked = standing(state)
        deeds = {saga.run: workshop.deeds(saga.run) for saga in sagas}
        left = sum(check_saga(saga, ends[saga.run], deeds[saga.run], asked) for saga in sagas)
        with beside(serving) as state:
            assert all(not state.runs.steps("worker", run) for run, end in ends.items() if end == "finished")
    did = Counter(tool for told in deeds.values() for tool, _ in told)
    print(f"\n{SAGAS} sagas, {KILLS} kills: {len(failed)} failed, {did['do']} steps done, {did['undo']} undone once,")
    print(f"{left} stand with people; all over {seconds:.1f} s after the last agent was done")
