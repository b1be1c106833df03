"""The task ledger of an orchestrator: what is planned, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from jsonschema import Draft202012Validator

from agents.run import Run

TEXT = {"type": "string", "minLength": 1}
NAME = {"type": "string", "pattern": "^[a-z0-9-]{1,40}$", "description": "Lower case letters, digits and dashes."}
TASK = {
    "type": "object",
    "properties": {"id": NAME, "specialist": TEXT, "task": TEXT, "needs": {"type": "array", "items": NAME}},
    "required": ["id", "specialist", "task", "needs"],
    "additionalProperties": False,
}
PLAN = {
    "type": "object",
    "properties": {"tasks": {"type": "array", "items": TASK}},
    "required": ["tasks"],
    "additionalProperties": False,
}
"""An empty plan says that nothing is left to be done."""
PLANNING = """Plan how this is done by the specialists: {specialists}.
Each task goes to one of them, says in full what it needs to know, and names in `needs` the ids of tasks whose results
it has to wait for. Plan no more than what was asked for.

What was asked: {task}"""
AGAIN = """Some tasks did not succeed; this is the ledger:
{ledger}
The specialists: {specialists}.
Plan what can still be done about it, under ids of their own; plan no tasks if there is nothing sensible left.

What was asked: {task}"""
SUMMING = """Answer what was asked from this ledger. Say plainly what was done, what failed and what waits for a person.

{ledger}

What was asked: {task}"""

State = Literal["pending", "running", "completed", "failed", "waiting"]


@dataclass(slots=True)
class Task:
    """One line of the ledger. `result` are the specialist's last words, `error` says why they are not good; `cost` is
    in US dollars.
    """

    id: str
    specialist: str
    task: str
    needs: list[str]
    state: State = "pending"
    result: str = ""
    error: str = ""
    cost: float | None = None


def told(ledger: Mapping[str, Task]) -> str:
    """The ledger, for a model."""
    return json.dumps([asdict(task) for task in ledger.values()], indent=1)


def ledger_of(run: Run) -> list[Task]:
    """The ledger of an orchestrator's run, as it stands on record."""
    noted = [note for note in run.notes if note["kind"] in ("planned", "task")]
    tasks = [task for note in noted for task in note.get("tasks", [note])]
    last = {task["id"]: {name: value for name, value in task.items() if name != "kind"} for task in tasks}
    return [Task(**task) for task in last.values()]


def read_plan(text: str, ledger: Collection[str], specialists: Collection[str]) -> tuple[list[Task], str]:
    """The tasks of a plan, beside those of the ledger, and what is wrong with it."""
    try:
        plan = json.loads(text)
    except ValueError as error:
        return [], f"it is not JSON ({error})"
    for wrong in Draft202012Validator(PLAN).iter_errors(plan):
        return [], f"{wrong.json_path}: {wrong.message}"
    tasks = [Task(**each) for each in plan["tasks"]]
    known = set(ledger)
    for each in tasks:  # each may need those before it, so that no circle can be
        if each.specialist not in specialists:
            return [], f"there is no specialist {each.specialist!r}"
        if each.id in known:
            return [], f"the id {each.id!r} is taken"
        if missing := set(each.needs) - known:
            return [], f"{each.id} needs {', '.join(sorted(missing))}, which are not tasks before it"
        known.add(each.id)
    return tasks, ""
