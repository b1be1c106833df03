"""What runs come to, taken together: how many succeed, how long they are, what they cost, what fails in them."""

from __future__ import annotations

import math
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agents.run import UNFINISHED, Run, total
from agents.runs import Runs

METRICS = {
    "toolgate_agent_runs": ("gauge", "Runs in the journal, by agent or pattern and outcome."),
    "toolgate_agent_success_ratio": ("gauge", "Runs that ended well, of those that ended."),
    "toolgate_agent_turns_mean": ("gauge", "Turns of a run, on the average."),
    "toolgate_agent_turns_p99": ("gauge", "Turns that 99 of 100 runs stay within."),
    "toolgate_agent_cost_dollars_mean": ("gauge", "US dollars for a run, on the average, where all costs are known."),
    "toolgate_agent_tool_calls": ("gauge", "Calls that were answered, by tool."),
    "toolgate_agent_tool_errors": ("gauge", "Calls that failed, by tool and the gateway's reason, or tool_error."),
}
"""Name: (kind, help) of what is exported."""


@dataclass(slots=True)
class Group:
    """The runs of one agent, or of one pattern with its parts."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    turns: list[int] = field(default_factory=list)
    costs: list[float | None] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome not in UNFINISHED)

    @property
    def success(self) -> float | None:
        """Of those that ended; None where none has."""
        return self.outcomes["end_turn"] / self.ended if self.ended else None

    @property
    def mean_turns(self) -> float:
        return sum(self.turns) / len(self.turns)

    @property
    def p99_turns(self) -> int:
        return sorted(self.turns)[math.ceil(0.99 * len(self.turns)) - 1]

    @property
    def mean_cost(self) -> float | None:
        """US dollars; None where one is not known."""
        cost = total(self.costs)
        return None if cost is None else cost / len(self.costs)


@dataclass(slots=True)
class Stats:
    groups: dict[str, Group] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By tool and reason."""


async def collect(runs: Runs) -> Stats:
    """The account of all runs in the journal."""
    stats = Stats()
    for identity in await runs.journal.runs():
        if "/" not in identity and (run := await runs.find(identity)) is not None:
            await _add(stats, await runs.whole(run), runs)
    return stats


async def _add(stats: Stats, run: Run, runs: Runs) -> None:
    group = stats.groups.setdefault(run.agent, Group(run.agent))
    group.outcomes[run.outcome] += 1
    group.turns.append(run.turns)
    group.costs.append(run.cost)
    for part in run.parts:
        await _add(stats, part, runs)
    for entry in await runs.journal.read(run.id):
        if entry.kind == "result":
            tool = entry.data["call"]["name"]
            stats.calls[tool] += 1
            if entry.data["result"].get("is_error"):
                stats.errors[tool, (entry.data["refusal"] or {}).get("reason") or "tool_error"] += 1


def table(stats: Stats) -> str:
    """For a terminal."""
    rows = [("AGENT", "RUNS", "SUCCESS", "MEAN TURNS", "P99 TURNS", "MEAN COST")]
    for group in stats.groups.values():
        success = "-" if group.success is None else f"{100 * group.success:.1f} %"
        cost = "not known" if group.mean_cost is None else f"${group.mean_cost:.4f}"
        runs = str(group.outcomes.total())
        rows.append((group.name, runs, success, f"{group.mean_turns:.1f}", str(group.p99_turns), cost))
    lines = _aligned(rows)
    if stats.errors:
        failed = [("TOOL", "REASON", "FAILED", "OF CALLS")]
        failed += [(tool, why, str(n), str(stats.calls[tool])) for (tool, why), n in sorted(stats.errors.items())]
        lines += ["", *_aligned(failed)]
    return "\n".join(lines) if stats.groups else "There are no runs in this journal."


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def prometheus(stats: Stats) -> str:
    """The same in the text format that Prometheus reads."""
    samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for group in stats.groups.values():
        of = {"agent": group.name}
        for outcome, count in group.outcomes.items():
            samples["toolgate_agent_runs"].append(({**of, "outcome": outcome}, count))
        samples["toolgate_agent_turns_mean"].append((of, group.mean_turns))
        samples["toolgate_agent_turns_p99"].append((of, group.p99_turns))
        if group.success is not None:
            samples["toolgate_agent_success_ratio"].append((of, group.success))
        if group.mean_cost is not None:
            samples["toolgate_agent_cost_dollars_mean"].append((of, group.mean_cost))
    samples["toolgate_agent_tool_calls"] = [({"tool": tool}, count) for tool, count in stats.calls.items()]
    failed = stats.errors.items()
    samples["toolgate_agent_tool_errors"] = [({"tool": tool, "reason": why}, count) for (tool, why), count in failed]
    lines = []
    for name, (kind, told) in METRICS.items():
        lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{{{_labels(labels)}}} {value:.10g}" for labels, value in samples[name]]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    pairs: Iterable[tuple[str, str]] = labels.items()
    return ",".join(f'{name}="{_quoted(value)}"' for name, value in pairs)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def push(url: str, text: str) -> None:
    """Give it to a Prometheus Pushgateway, as `job` toolgate_agents. Raises OSError."""
    place = f"{url.rstrip('/')}/metrics/job/toolgate_agents"
    request = urllib.request.Request(place, text.encode(), {"Content-Type": "text/plain; version=0.0.4"}, method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        return
