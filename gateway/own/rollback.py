"""`toolgate__rollback` and `toolgate__mark_run`: an agent says how a run of its own ends, or that it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.aside import aside
from gateway.call import Call, Result
from gateway.errors import InvalidArguments, RunClosed
from gateway.own.tools import OwnTool
from gateway.runs import Run, Runs, Step
from gateway.runs.leases import LONGEST
from gateway.runs.undoing import Undoing

PATIENCE = 20.0
"""Seconds that `rollback` waits for the undoing: less than clients wait for an answer."""

_RUN = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "The id of the run. Leave it out for the run that this call belongs to.",
}
_ROLLBACK = {
    "name": "rollback",
    "title": "Undo a run",
    "description": (
        "Undo everything that was done in a run and can be undone, the latest first. Use it when the task cannot be "
        "completed and what was done so far must not stand. It cannot be taken back, and nothing more can be done in "
        "the run afterwards. The answer says what was undone and what people have to look at."
    ),
    "inputSchema": {"type": "object", "properties": {"run": _RUN}, "additionalProperties": False},
}
_MARK = {
    "name": "mark_run",
    "title": "Say how a run stands",
    "description": (
        "Say how a run stands. finished: the task is done, what was done stays done, and nothing more can be done in "
        "the run. failed: have all that was done in it undone, without waiting for that. active: it goes on; with "
        "lease, it is undone by itself once nothing is heard of it for so many seconds."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "state": {"type": "string", "enum": ["active", "finished", "failed"]},
            "lease": {
                "type": "number",
                "minimum": 0,
                "maximum": LONGEST,
                "description": "Seconds, with state active: undo the run after so long a silence. 0: never.",
            },
            "run": _RUN,
        },
        "required": ["state"],
        "additionalProperties": False,
    },
}
_SAID = {
    "active": "Run {run!r} goes on.",
    "finished": "Run {run!r} is finished: what was done in it stays done.",
    "failed": "Run {run!r} has failed: what was done in it is being undone.",
}


@dataclass(frozen=True, slots=True)
class RunTools:
    """What both tools need. A run is the calling agent's: that of another agent's is one that it does not have."""

    runs: Runs
    undoing: Undoing
    patience: float = PATIENCE

    def tools(self) -> list[OwnTool]:
        return [OwnTool(_ROLLBACK, self.rollback), OwnTool(_MARK, self.mark)]

    async def rollback(self, call: Call) -> Result:
        """Mark the run failed, and tell what came of it. Raises InvalidArguments, RunClosed."""
        agent, run = call.principal.agent, _run(call)
        await self.runs.store.transact(partial(self.runs.mark, agent=agent, run=run, state="failed", why="agent"))
        self.undoing.wake()
        found = await self.undoing.wait(agent, run, self.patience)
        if found is None or found.state == "finished":
            raise RunClosed(f"Run {run!r} is finished, so it cannot be undone. Nothing was run; report how it stands.")
        return _told(found, await aside(partial(self.runs.steps, agent, run)))

    async def mark(self, call: Call) -> Result:
        """Raises InvalidArguments, RunClosed."""
        agent, run, state = call.principal.agent, _run(call), str(call.arguments["state"])
        lease = call.arguments.get("lease")
        if lease is not None and state != "active":
            raise InvalidArguments("A lease goes with state active only. Nothing was run; leave lease out.")
        work = partial(self.runs.mark, agent=agent, run=run, state=state, lease=lease, why="agent")
        if not await self.runs.store.transact(work):
            raise RunClosed(f"Run {run!r} is over already. Nothing was run; begin a new run for new work.")
        if state != "active":
            self.runs.leases.forget((agent, run))
            self.undoing.wake()
        elif lease is not None:
            self.runs.leases.grant((agent, run), lease)
        return _answer(_SAID[state].format(run=run), {"run": run, "state": state})


def _run(call: Call) -> str:
    run = call.arguments.get("run", call.run)
    if run is None:
        raise InvalidArguments(
            "This call belongs to no run, and names none. Nothing was run; give the run's id in the argument run."
        )
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
