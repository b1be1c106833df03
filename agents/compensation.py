"""Compensation: take back what a run did, one call at a time, latest first, as far as it goes.

The arguments come from the calls themselves and not from what the model says it did, so a stage that failed
half way is taken back as well, and a model cannot name a charge or a reservation that it did not make.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from agents.loop import Agent
from agents.run import Block, Run
from agents.tools import reason

Arguments = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Undo:
    """Each successful call of tool `call` is undone by tool `by`, with `arguments(its input, its result)`."""

    call: str
    by: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Undone:
    """One compensation: which call it was for, whether it worked, and the tool's own words."""

    agent: str
    call: str
    tool: str
    worked: bool
    text: str


async def compensate(agent: Agent, run: Run, undos: tuple[Undo, ...]) -> AsyncIterator[Undone]:
    """Undo the run's successful calls, latest first, with the agent's token. No failure stops the rest."""
    by_call = {undo.call: undo for undo in undos}
    for use, result in reversed(run.calls()):
        undo = by_call.get(use["name"])
        if undo is None or result.get("is_error"):
            continue
        key = f"{run.id}/comp/{use['id']}"
        try:
            arguments = undo.arguments(use["input"], json.loads(text_of(result)))
            answer = await agent.call(undo.by, arguments, run_id=run.id, key=key)
            worked, text = not answer.is_error, text_of({"content": answer.content})
        except Exception as error:  # best effort: the result may be unreadable or the gateway away
            worked, text = False, f"{type(error).__name__}: {reason(error)}"
        yield Undone(agent.name, f"{use['name']} {use['id']}", undo.by, worked, text)


def text_of(result: Block) -> str:
    """The text of a tool_result block."""
    return "".join(block["text"] for block in result["content"] if block["type"] == "text")
