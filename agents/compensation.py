"""Compensation: the gateway takes back what a run did, as the tools declare it, latest first.

It knows what the calls came to and not only what the model says of them, so a stage that failed half way is taken back
as well. Where this process does not live to ask for it, the lease of the run does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.loop import Agent
from agents.tools import ROLLBACK


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one run: the tools that were called to undo it, whether all is undone, the gateway's words."""

    agent: str
    run: str
    tools: list[str]
    worked: bool
    text: str


async def undo(agent: Agent, run_id: str) -> Undone | None:
    """Have the gateway undo a run of this agent. None where there was nothing to undo, or the agent may not ask."""
    answer = await agent.tell(ROLLBACK, run=run_id)
    if answer is None:
        return None
    steps: list[dict[str, Any]] = answer.structured.get("steps", [])
    if not steps and not answer.is_error:
        return None
    worked = not answer.is_error and all(step["state"] == "undone" for step in steps)
    done = [step["tool"] for step in steps if step["state"] == "undone"]
    return Undone(agent.name, run_id, done, worked, answer.text)
