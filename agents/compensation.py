"""What becomes of the effects of a pattern: kept while it works, closed at a good end, taken back at a bad one.

It is the gateway that takes back what a run did, as the tools declare it, latest first: it knows what the calls came to
and not only what the model says of them. Where this process does not live to ask for it, the lease of the run does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from agents.agent import Agent, Runner
from agents.run import Run
from agents.tools import MARK, ROLLBACK


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one run: the tools (`server/tool`) whose calls are undone, latest first, and those whose are not.

    `worked` when none is left; `text` is what the gateway says of it, or why it says nothing.
    """

    agent: str
    run: str
    undone: list[str]
    left: list[str]
    worked: bool
    text: str


def leaves(runner: Runner, run: Run) -> Iterator[tuple[Agent, Run]]:
    """The agents' runs that a run is made of, in the order in which they began, each with its agent."""
    agents = {agent.name: agent for agent in runner.agents()}

    def walk(run: Run) -> Iterator[tuple[Agent, Run]]:
        if not run.parts and run.agent in agents:
            yield agents[run.agent], run
        for part in run.parts:
            yield from walk(part)

    return walk(run)


@asynccontextmanager
async def kept(runner: Runner, run: Run) -> AsyncIterator[None]:
    """Renew the leases of the parts that have ended until the block ends: what they did stands as long as the whole."""
    leases = [agent.limits.lease for agent in runner.agents() if agent.limits.lease is not None]
    if not leases:
        yield
        return
    left = asyncio.Event()
    task = asyncio.create_task(_renew(runner, run, min(leases) / 3, left))
    try:
        yield
    finally:
        left.set()  # and not cancelled: whatever is said of the runs next must come after the last renewal
        await task


async def _renew(runner: Runner, run: Run, seconds: float, left: asyncio.Event) -> None:
    while not left.is_set():
        for agent, leaf in list(leaves(runner, run)):
            if leaf.ok and agent.limits.lease is not None and not left.is_set():
                await agent.tell(MARK, run=leaf.id, state="active", lease=agent.limits.lease)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await left.wait()


async def close(runner: Runner, run: Run) -> dict[str, str]:
    """Tell the gateway that all of it is done; by run, why it did not take that: a lease may still undo those."""
    unclosed = {}
    for agent, leaf in leaves(runner, run):
        if not leaf.ok:  # it was undone, or did nothing
            continue
        answer = await agent.tell(MARK, run=leaf.id, state="finished")
        if answer is not None and answer.is_error:
            unclosed[leaf.id] = answer.text
    return unclosed


async def let_go(runner: Runner, run: Run) -> None:
    """Take the leases away: people may take longer to decide than the process lives."""
    for agent, leaf in leaves(runner, run):
        if agent.limits.lease is not None and (leaf.ok or leaf.outcome == "waiting"):
            await agent.tell(MARK, run=leaf.id, state="active", lease=0)


async def undo(runner: Runner, run: Run) -> list[Undone]:
    """Have the gateway undo all of it, the latest first; those where there was something to undo."""
    done = [await _undo(agent, leaf.id) for agent, leaf in reversed(list(leaves(runner, run)))]
    return [undone for undone in done if undone is not None]


async def _undo(agent: Agent, run_id: str) -> Undone | None:
    """None where nothing was to be undone, or the agent may not ask."""
    answer = await agent.tell(ROLLBACK, run=run_id)
    if answer is None:
        return None
    calls = {
        state: [f"{call['server']}/{call['tool']}" for call in answer.structured.get(state, [])]
        for state in ("undone", "waiting", "left")
    }
    if not (answer.is_error or any(calls.values())):
        return None
    left = calls["waiting"] + calls["left"]
    return Undone(agent.name, run_id, calls["undone"], left, not (answer.is_error or left), answer.text)
