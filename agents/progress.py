"""A run in plain words, line by line, as it happens."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

from agents.pipeline import Report
from agents.run import Event, Run, total


@dataclass(slots=True)
class Progress:
    """Writes one line per event. Arguments and results of tools are not shown: they may be personal."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    costs: list[float | None] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)

    async def __call__(self, event: Event) -> None:
        if line := self._line(event):
            self.say(line)

    def say(self, line: str) -> None:
        print(line, file=self.out, flush=True)

    def _line(self, event: Event) -> str:
        data = event.data
        match event.kind:
            case "stage":
                return f"{event.agent}: {data['job']}"
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
            case "rejected":
                return f"  the answer was not accepted: {data['problem']}; asking again"
            case "staged":
                return f"{event.agent}: {_outcome(data['output'], data['reason'])}"
            case "undone":
                return f"{event.agent}: {_undone(data)}"
            case "unclosed":
                return f"{event.agent}: run {data['run']} could not be closed: {data['text']}"
            case _:
                return ""


def _outcome(output: dict[str, Any] | None, reason: str) -> str:
    if output is None:
        return f"failed: {reason}"
    plain = [f"{name} {value}" for name, value in output.items() if isinstance(value, str | int)]
    return f"done ({', '.join(plain)})" if plain else "done"


def _undone(data: dict[str, Any]) -> str:
    return f"taken back by the gateway: {', '.join(data['undone'])}" if data["worked"] else str(data["text"])


def money(cost: float | None) -> str:
    """US dollars, or that they are not known."""
    return "not known" if cost is None else f"${cost:.4f}"


def run_summary(run: Run) -> str:
    """One run in one line."""
    return f"{run.outcome} after {run.turns} turns and {run.tokens} tokens; cost {money(run.cost)}"


def order_summary(order_id: str, report: Report) -> str:
    """One order in a few lines."""
    runs = [result.run for result in report.results]
    account = (
        f"{sum(run.turns for run in runs)} turns, {sum(len(run.calls()) for run in runs)} tool calls, "
        f"{sum(run.tokens for run in runs)} tokens, cost {money(total([run.cost for run in runs]))}"
    )
    if report.completed:
        open_runs = f" NOT CLOSED: {', '.join(report.unclosed)}." if report.unclosed else ""
        return f"Order {order_id} completed: {account}.{open_runs}"
    last = report.results[-1]
    done = sum(len(undone.undone) for undone in report.undone)
    left = sum(len(undone.left) for undone in report.undone)
    lines = [
        f"Order {order_id} failed in {last.stage}: {last.reason}",
        *(f"{undone.agent}: {undone.text}" for undone in report.undone if not undone.worked),
        f"{done} of {done + left} effects taken back; {account}.",
    ]
    return "\n".join(lines)
