"""`toolgate__rollback`: an agent has a run of its own undone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from gateway.call import Call, Facts, Result
from gateway.errors import InvalidArguments, RunClosed
from gateway.own.tools import OwnTool
from gateway.runs import Run, Runs, Step
from gateway.runs.undoing import Undoing

PATIENCE = 20.0
"""Seconds that it waits for the undoing: less than clients wait for an answer."""

RUN = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "The id of the run. Leave it out for the run that this call belongs to.",
}
DEFINITION: dict[str, Any] = {
    "name": "rollback",
    "title": "Undo a run",
    "description": (
        "Undo everything that was done in a run and can be undone, the latest first. Use it when the task cannot be "
        "completed and what was done so far must not stand. It cannot be taken back, and nothing more can be done in "
        "the run afterwards. The answer says what was undone and what people have to look at."
    ),
    "inputSchema": {"type": "object", "properties": {"run": RUN}, "additionalProperties": False},
    "annotations": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": False},
}
FACTS = Facts(idempotent=True, read_only=True)
"""It only says that the run failed: what is undone then is undone by calls of the gateway's own."""


def rollback(runs: Runs, undoing: Undoing) -> OwnTool:
    """A run is the calling agent's: that of another agent is one that it does not have."""

    async def run(call: Call) -> Result:
        agent, name = call.principal.agent, run_of(call)
        await runs.store.transact(partial(runs.mark, agent=agent, run=name, state="failed", why="agent"))
        runs.leases.forget((agent, name))
        undoing.wake()
        found = await undoing.wait(agent, name, PATIENCE)
        if found is None or found.state == "finished":
            raise RunClosed(f"Run {name!r} is finished, so it cannot be undone. Nothing was run; report how it stands.")
        return _told(found, await runs.store.look(partial(runs.steps, agent, name)))

    return OwnTool(DEFINITION, run, FACTS)


def run_of(call: Call) -> str:
    """The run that the argument names, else that of the call. Raises InvalidArguments."""
    run = call.arguments.get("run", call.run)
    if run is None:
        raise InvalidArguments(
            "This call belongs to no run, and names none. Nothing was run; give the run's id in the argument run."
        )
    if not str(run).isprintable():  # as where a call says which run it belongs to: it is logged, and shown
        raise InvalidArguments("A run is named by printable characters only. Nothing was run; correct its id.")
    return str(run)


def _told(run: Run, steps: Sequence[Step]) -> Result:
    """What was undone, what people look at, and what is still to be undone: as calls, which are the agent's own."""
    undone = [_shape(step) for step in steps if step.state in ("undone", "settled")]
    waiting = [{**_shape(step), "ticket": step.ticket} for step in steps if step.state in ("stuck", "sent")]
    left = [_shape(step) for step in steps if step.state == "done"]
    text = [f"Run {run.run!r} is {'being undone' if run.state == 'rolling_back' else 'undone'}."]
    text += [f"Undone: {_listed(undone)}." if undone else "Nothing was undone."]
    if waiting:
        text.append(f"People have to look at: {_listed(waiting)}; they are asked, and you need not wait.")
    if left:
        text.append(f"Still to be undone, which goes on by itself: {_listed(left)}.")
    told = {"run": run.run, "state": run.state, "undone": undone, "waiting": waiting, "left": left}
    return _answer(" ".join(text), told)


def _shape(step: Step) -> dict[str, Any]:
    return {"call": step.call, "server": step.server, "tool": step.tool}


def _listed(shapes: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{shape['server']}/{shape['tool']}" for shape in shapes)


def _answer(text: str, structured: dict[str, Any]) -> Result:
    return {"content": [{"type": "text", "text": text}], "structuredContent": structured}
