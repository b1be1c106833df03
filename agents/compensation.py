"""Compensation: the gateway takes back what a run did, as the tools declare it, latest first.

It knows what the calls came to and not only what the model says of them, so a stage that failed half way is taken back
as well. Where this process does not live to ask for it, the lease of the run does.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.loop import Agent
from agents.tools import ROLLBACK


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


async def undo(agent: Agent, run_id: str) -> Undone | None:
    """Have the gateway undo a run of this agent. None where nothing was to be undone, or the agent may not ask."""
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
