"""Sagas: runs of several steps, some of which fail, and what must be true of each of them afterwards."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from raw_client import Reply
from runs_parts import Agent

from gateway.state import State

LEASE = 1.5
MANNERS = [*[""] * 16, *["!1"] * 6, "%"]
"""How steps behave at the tool: most are done and undone, some not undone at the first attempt, few not done."""
FATES = ("finished", "failed", "died")
"""What becomes of a run that nothing went wrong in: its agent says so, or is not heard of again."""

AGAIN = ("not_found", "in_flight", "upstream_unreachable")
"""Reasons of refusals that pass."""


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
            reply = await insist(agent, self.run, "do", {"name": name}, key=key, **lease)
            if not reply.ok:
                assert reply.reason in (None, "outcome_unknown", "run_closed"), reply
                if self.fate != "died":
                    await end(agent, self.run, "failed")
                return "failed"
            await asyncio.sleep(pace.uniform(0, 0.2))
        if self.fate != "died":
            await end(agent, self.run, self.fate)
        return "failed" if self.fate == "died" else self.fate


async def insist(agent: Agent, run: str, tool: str, arguments: dict[str, object], **meta: object) -> Reply:
    """Call until the gateway is there and knows the tool: with the same key, so that it is one call."""
    while True:
        with suppress(aiohttp.ClientError):
            reply = await agent.call(run, tool, arguments, **meta)
            if reply.status == 200 and reply.reason not in AGAIN:
                return reply
        await asyncio.sleep(0.05)


async def end(agent: Agent, run: str, state: str) -> None:
    reply = await insist(agent, run, "toolgate__mark_run", {"state": state})
    assert reply.ok or reply.reason == "run_closed", reply  # it was marked, and the answer was lost


def standing(state: State) -> set[str]:
    """The names of what people are asked about: undoings that are stuck, and calls of unknown outcome."""
    tickets = state.approvals.find(states=["pending"], limit=10_000)
    return {str(ticket.shown["name"]) for ticket in tickets} | {
        json.loads(each.shown)["name"] for each in state.ledger.unknown()
    }


def check_saga(saga: Saga, end: str, deeds: list[tuple[str, str]], asked: set[str]) -> int:
    """How many steps of this saga stand with people."""
    did = [name for tool, name in deeds if tool == "do"]
    undone = [name for tool, name in deeds if tool == "undo"]
    assert max(Counter(did).values(), default=0) <= 1, f"{saga.run}: done twice"
    assert max(Counter(undone).values(), default=0) <= 1, f"{saga.run}: undone twice"
    if end == "finished":
        assert len(did) == saga.length and undone == []
        return 0
    assert undone == [name for name in reversed(did) if name in undone], f"{saga.run}: not in reverse"
    assert set(did) <= {*undone} | asked, f"{saga.run}: neither undone nor with people"
    return len(set(did) & asked)
