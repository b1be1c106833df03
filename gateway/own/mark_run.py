"""`toolgate__mark_run`: an agent says how a run of its own ends, or that it goes on."""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway.call import Call, Facts, Result
from gateway.errors import InvalidArguments, RunClosed
from gateway.own.rollback import RUN, run_of
from gateway.own.tools import OwnTool
from gateway.runs import Runs
from gateway.runs.leases import LONGEST
from gateway.runs.undoing import Undoing

DEFINITION: dict[str, Any] = {
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
            "run": RUN,
        },
        "required": ["state"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": False},
}
FACTS = Facts(idempotent=True, read_only=True)

_SAID = {
    "active": "Run {run!r} goes on.",
    "finished": "Run {run!r} is finished: what was done in it stays done.",
    "failed": "Run {run!r} has failed: what was done in it is being undone.",
}


def mark_run(runs: Runs, undoing: Undoing) -> OwnTool:
    """A run is the calling agent's: one that it does not have yet is opened by it."""

    async def run(call: Call) -> Result:
        agent, name, state = call.principal.agent, run_of(call), str(call.arguments["state"])
        lease = call.arguments.get("lease")
        if lease is not None and state != "active":
            raise InvalidArguments("A lease goes with state active only. Nothing was run; leave lease out.")
        if lease is not None:
            runs.leases.admit((agent, name), lease)
        work = partial(runs.mark, agent=agent, run=name, state=state, lease=lease, why="agent")
        if not await runs.store.transact(work):
            raise RunClosed(f"Run {name!r} is over already. Nothing was run; begin a new run for new work.")
        if state != "active":
            runs.leases.forget((agent, name))
            undoing.wake()
        elif lease is not None:
            runs.leases.grant((agent, name), lease)
        said = {"type": "text", "text": _SAID[state].format(run=name)}
        return {"content": [said], "structuredContent": {"run": name, "state": state}}

    return OwnTool(DEFINITION, run, FACTS)
