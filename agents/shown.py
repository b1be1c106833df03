"""A run as a timeline: what happened in it and in its parts, in the order in which it happened."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from agents.journal import Entry, Journal
from agents.marking import bare
from agents.progress import account, money
from agents.run import Block, Run

Mark = Literal["", "said", "gated", "refused", "failed", "done"]


@dataclass(frozen=True, slots=True)
class Line:
    """One entry: `at` in seconds since the whole began, `part` whose it is, `what` in a few words, `more` in full.

    `mark` is gated where people were asked.
    """

    at: float
    part: str
    what: str
    more: str = ""
    mark: Mark = ""
    call: str = ""
    """The id of the call that it is about."""


async def timeline(journal: Journal, run: Run) -> list[Line]:
    """All entries of a run and its parts."""
    ids = [run.id, *await journal.runs(run.id)]
    entries = [entry for each in ids for entry in await journal.read(each)]
    entries.sort(key=lambda entry: (entry.at, entry.run, entry.seq))
    lines = [_line(entry, entry.at - run.began, entry.run.removeprefix(f"{run.id}/")) for entry in entries]
    return [line for line in lines if line.what]


def text(run: Run, lines: Iterable[Line], *, state: str = "") -> str:
    """The timeline for a terminal, each text cut to a line."""
    told = list(lines)
    wide = max((len(line.part) for line in told), default=0)
    head = [
        f"Run {run.id} ({run.agent}): {state or run.outcome}" + (f", {run.detail}" if run.detail else ""),
        f"  {account(run)}, {run.seconds:.1f} s at work",
        f"  asked: {_cut(run.task, 200)}",
        "",
    ]
    rows = [f"{_clock(line.at):>9}  {line.part:{wide}}  {line.what}".rstrip() + _beside(line) for line in told]
    parts = [f"  {part.id.removeprefix(f'{run.id}/')}: {account(part)}; {part.outcome}" for part in run.parts]
    answer = ["", textwrap.fill(run.text, 118)] if run.text else []
    return "\n".join([*head, *rows, *(["", "Parts", *parts] if parts else []), *answer])


def _beside(line: Line) -> str:
    return f": {_cut(line.more, 100)}" if line.more else ""


def _cut(text: str, most: int) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= most else f"{whole[: most - 3]}..."


def _clock(seconds: float) -> str:
    """`12.34 s`, `3:07 min`, `5:12 h`, or days."""
    if seconds < 100:
        return f"{seconds:.2f} s"
    if seconds < 6000:
        return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"
    if seconds < 100 * 3600:
        return f"{seconds // 3600:.0f}:{seconds % 3600 // 60:02.0f} h"
    return f"{seconds / 86400:.1f} days"


def _line(entry: Entry, at: float, part: str) -> Line:
    data = entry.data
    match entry.kind:
        case "started":
            told = (f"begun by {data['agent']}" + (f" with {data['model']}" if data["model"] else ""), data["task"])
        case "message":
            told = ("is told", data["text"])
        case "answer":
            calls = [block["name"] for block in data["content"] if block["type"] == "tool_use"]
            said = "".join(block["text"] or "" for block in data["content"] if block["type"] == "text")
            asks = f"asks for {', '.join(calls)}" if calls else "answers"
            cost = "" if data["cost"] is None else f" ({money(data['cost'])})"
            return Line(at, part, f"the model {asks}{cost}", said, "said")
        case "call":
            return Line(at, part, f"calls {data['name']}", json.dumps(data["input"]), call=data["id"])
        case "result":
            return Line(at, part, *_result(data), data["call"]["id"])
        case "waiting":
            what = f"{data['call']['name']} waits for a person, ticket {data['ticket']}"
            return Line(at, part, what, json.dumps(data["call"]["input"]), "gated", data["call"]["id"])
        case "finished":
            good = data["outcome"] == "end_turn"
            mark: Mark = "done" if good else "gated" if data["outcome"] == "waiting" else "failed"
            return Line(at, part, "done" if good else data["outcome"], data["detail"], mark)
        case "resumed":
            told = ("goes on", "")
        case "warned":
            told = ("the model is warned", data["text"])
        case _:
            told = _of_pattern(entry.kind, data)
    return Line(at, part, *told)


def _result(data: dict[str, Any]) -> tuple[str, str, Mark]:
    name, said = data["call"]["name"], said_by(data["result"])
    if data["refusal"]:
        return f"{name} was refused ({data['refusal'].get('reason')})", said, "refused"
    if data["result"].get("is_error"):
        return f"{name} failed", said, "failed"
    if data["ticket"]:
        return f"{name} answered; a person allowed it, ticket {data['ticket']}", said, "gated"
    return f"{name} answered", said, ""


def said_by(result: Block) -> str:
    """The text of a tool_result, without its marks."""
    return "\n".join(bare(block["text"]) for block in result["content"] if block["type"] == "text")


def _of_pattern(kind: str, data: dict[str, Any]) -> tuple[str, str]:
    match kind:
        case "staged":
            return f"stage {data['stage']} " + ("failed" if data["output"] is None else "is done"), data["reason"]
        case "planned":
            return "planned", "; ".join(f"{task['id']}: {task['task']}" for task in data["tasks"]) or "nothing more"
        case "task":
            return f"task {data['id']} {data['state']}", data["error"] or data["result"]
        case "branches":
            return "branches", ", ".join(f"{branch['name']} {branch['status']}" for branch in data["branches"])
        case "undone":
            return f"the gateway undoes what {data['agent']} did", ", ".join(data["undone"]) or data["text"]
        case "unclosed":
            return "a part could not be closed", data["text"]
        case _:
            return kind, json.dumps(data)
