"""A run in plain words, line by line, as it happens."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

from agents.ledger import ledger_of
from agents.run import Run, total
from agents.runs import Event


@dataclass(slots=True)
class Progress:
    """Writes one line per event; on a terminal the model's words too, as they come. Arguments and results of tools are
    not shown: they may be personal.
    """

    out: TextIO = field(default_factory=lambda: sys.stdout)
    costs: list[float | None] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)
    _stage: str = ""
    """The run of the stage that is at work: its lines need no name."""
    _amid: str = ""
    """The run whose model's words stand on the last line."""

    async def __call__(self, event: Event) -> None:
        if event.kind == "said":
            if self.out.isatty():
                self._speak(event)
        elif line := self._line(event):
            self.say(self._named(event, line))

    def say(self, line: str) -> None:
        print(f"\n{line}" if self._amid else line, file=self.out, flush=True)
        self._amid = ""

    def _speak(self, event: Event) -> None:
        if self._amid != event.run:
            print("\n" if self._amid else "", self._named(event, "  "), sep="", end="", file=self.out)
        print(event.data["text"].replace("\n", "\n    "), end="", file=self.out, flush=True)
        self._amid = event.run

    def _named(self, event: Event, line: str) -> str:
        """The line, with the name of an agent that works beside others."""
        if event.kind == "stage":
            self._stage = f"{event.run}/{event.data['stage']}"
        is_beside = "/" in event.run and event.run != self._stage and line.startswith("  ")
        return f"  {event.agent}: {line[2:]}" if is_beside else line

    def _line(self, event: Event) -> str:
        data = event.data
        match event.kind:
            case "stage":
                return f"{data['stage']}: {data['job']}"
            case "answer":
                self.costs.append(data["cost"])
                self.turns[event.run] = self.turns.get(event.run, 0) + 1
                return f"  turn {self.turns[event.run]}: the model answered; cost so far {money(total(self.costs))}"
            case "call":
                return f"  calls {data['name']}"
            case "result" if data["refusal"]:
                return f"  {data['call']['name']} was refused ({data['refusal'].get('reason')})"
            case "result":
                worked = "failed" if data["result"].get("is_error") else "answered"
                return f"  {data['call']['name']} {worked}"
            case "waiting":
                return f"  {data['call']['name']} waits for a decision, ticket {data['ticket']}"
            case "warned":
                return f"  the model is told: {data['text']}"
            case "rejected":
                return f"  the answer was not accepted: {data['problem']}; asking again"
            case _:
                return _of_pattern(event)


def _of_pattern(event: Event) -> str:
    data = event.data
    match event.kind:
        case "staged":
            return f"{data['stage']}: {_outcome(data['output'], data['reason'])}"
        case "planned":
            names = ", ".join(f"{task['id']} ({task['specialist']})" for task in data["tasks"])
            return f"{event.agent}: planned {names or 'nothing more'}"
        case "task" if data["state"] != "running":
            return f"{event.agent}: task {data['id']} {data['state']}" + (f": {data['error']}" if data["error"] else "")
        case "branches":
            came = ", ".join(f"{branch['name']} {branch['status']}" for branch in data["branches"])
            return f"{event.agent}: {came}"
        case "undone":
            taken = f"taken back by the gateway: {', '.join(data['undone'])}"
            return f"{data['agent']}: {taken if data['worked'] else data['text']}"
        case "unclosed":
            return f"{event.agent}: run {data['run']} could not be closed: {data['text']}"
        case _:
            return ""


def _outcome(output: dict[str, Any] | None, reason: str) -> str:
    if output is None:
        return f"failed: {reason}"
    plain = [f"{name} {value}" for name, value in output.items() if isinstance(value, str | int)]
    return f"done ({', '.join(plain)})" if plain else "done"


def money(cost: float | None) -> str:
    """US dollars, or that they are not known."""
    return "not known" if cost is None else f"${cost:.4f}"


def account(run: Run) -> str:
    """What a run took, parts included."""
    calls = sum(len(each.calls()) for each in run.agents)
    return f"{run.turns} turns, {calls} tool calls, {run.tokens} tokens, cost {money(run.cost)}"


def run_summary(run: Run) -> str:
    """One run in one line."""
    return f"{run.outcome} after {run.turns} turns and {run.tokens} tokens; cost {money(run.cost)}"


def order_summary(run: Run) -> str:
    """One order in a few lines."""
    order, undone = json.loads(run.task)["order_id"], [note for note in run.notes if note["kind"] == "undone"]
    if run.ok:
        unclosed = [note["run"] for note in run.notes if note["kind"] == "unclosed"]
        return f"Order {order} completed: {account(run)}." + (
            f" NOT CLOSED: {', '.join(unclosed)}." if unclosed else ""
        )
    if run.outcome != "failed":
        return f"Order {order} is not done: {run.detail}; {account(run)}."
    done, left = (sum(len(note[state]) for note in undone) for state in ("undone", "left"))
    lines = [
        f"Order {order} failed in {run.detail}",
        *(f"{note['agent']}: {note['text']}" for note in undone if not note["worked"]),
        f"{done} of {done + left} effects taken back; {account(run)}.",
    ]
    return "\n".join(lines)


def desk_summary(run: Run) -> str:
    """The ledger of an orchestrator's run, and what it says."""
    rows = [("TASK", "SPECIALIST", "STATE", "COST", "RESULT")]
    for task in ledger_of(run):
        cost = "not known" if task.cost is None else f"${task.cost:.4f}"
        rows.append((task.id, task.specialist, task.state, cost, task.error or task.result))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join([*map(str.ljust, row, widths), row[4]]).rstrip() for row in rows]
    return "\n".join([*table, "", run.text or f"{run.outcome}: {run.detail}", f"{run.agent}: {run_summary(run)}"])
