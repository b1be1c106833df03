"""A run as one HTML page without scripts: bars for its parts, what waited for people, and every entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from agents.journal import Journal
from agents.progress import account, money
from agents.run import Run
from agents.shown import Line, timeline

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #667085; --line: #d8dee8; --bar: #4a7bd0; --gate: #d98a1f;
  --bad: #c0392b; --good: #2e8b57; --back: #ffffff; --soft: #f5f7fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --line: #39414f; --back: #14181f;
  --soft: #1c222c; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 2rem auto;
  max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
.dim { color: var(--dim); } .task { background: var(--soft); border-left: 3px solid var(--line); padding: .5rem .8rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; color: var(--dim); }
td, th { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.lane { position: relative; height: 1rem; background: var(--soft); min-width: 18rem; }
.lane i { position: absolute; top: .15rem; height: .7rem; min-width: 2px; background: var(--bar); border-radius: 2px; }
.lane i.gated { background: var(--gate); }
.said { color: var(--bar); } .gated { color: var(--gate); } .refused, .failed { color: var(--bad); }
.done { color: var(--good); } .mono { font-family: ui-monospace, monospace; font-size: .85rem; }
details pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; max-height: 20rem; overflow: auto;
  background: var(--soft); padding: .5rem; } summary { cursor: pointer; }
.part { white-space: nowrap; }
.swatch { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin: 0 .3rem 0 1rem; }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1>
<p class="dim">{about}</p>
<p class="task">{task}</p>
{answer}
<h2>Parts</h2>
<p class="dim"><span class="swatch" style="background: var(--bar); margin-left: 0"></span>at work
<span class="swatch" style="background: var(--gate)"></span>waits for a person</p>
<table><tr><th>part</th><th>from begin to end</th><th class="number">turns</th><th class="number">tool calls</th>
<th class="number">tokens</th><th class="number">cost</th><th>came to</th></tr>
{parts}</table>
<h2>What happened</h2>
<table><tr><th class="number">second</th><th>part</th><th>entry</th></tr>
{lines}</table>
</body></html>
"""


async def page(journal: Journal, run: Run, *, state: str = "") -> str:
    """The whole page. Everything that agents, models and tools said is escaped."""
    lines = await timeline(journal, run)
    span = max((line.at for line in lines), default=0.0) or 1.0
    answer = f"<h2>Answer</h2><p>{escape(run.text)}</p>" if run.text else ""
    about = f"{state or run.outcome}{f', {run.detail}' if run.detail else ''}. {account(run)}."
    return PAGE.format(
        title=escape(f"Run {run.id}"),
        style=STYLE,
        about=escape(about),
        task=escape(run.task),
        answer=answer,
        parts="\n".join(_part(run, part, lines, span) for part in _all(run)),
        lines="\n".join(_entry(line) for line in lines),
    )


def _all(run: Run) -> list[Run]:
    return [run, *(each for part in run.parts for each in _all(part))]


def _part(whole: Run, run: Run, lines: Sequence[Line], span: float) -> str:
    name = run.id.removeprefix(f"{whole.id}/")
    bars = [_bar(run.began - whole.began, run.at - whole.began, span, "")]
    bars += [_bar(begun, ended, span, "gated") for begun, ended in _waits(name, lines)]
    kind = "done" if run.ok else "gated" if run.outcome == "waiting" else "failed"
    numbers = (str(run.turns), str(sum(len(each.calls()) for each in run.agents)), str(run.tokens), money(run.cost))
    cells = "".join(f'<td class="number">{escape(number)}</td>' for number in numbers)
    depth = 0 if run is whole else 1 + name.count("/")
    shown = f'<span style="padding-left: {depth}rem">{escape(name.rpartition("/")[2])}</span>'
    lane = f'<td><div class="lane">{"".join(bars)}</div></td>'
    return f'<tr><td>{shown}</td>{lane}{cells}<td class="{kind}">{escape(run.outcome)}</td></tr>'


def _bar(begun: float, ended: float, span: float, kind: str) -> str:
    left, width = 100 * max(0.0, begun) / span, 100 * max(0.0, ended - begun) / span
    return f'<i class="{kind}" style="left: {left:.2f}%; width: {min(width, 100 - left):.2f}%"></i>'


def _waits(part: str, lines: Iterable[Line]) -> list[tuple[float, float]]:
    """From when to when calls of a part waited for people: from the call to what came of it."""
    calls: dict[str, list[Line]] = {}
    for line in lines:
        if line.part == part and line.call:
            calls.setdefault(line.call, []).append(line)
    gated = [of for of in calls.values() if any(line.mark == "gated" for line in of)]
    return [(of[0].at, of[-1].at) for of in gated]


def _entry(line: Line) -> str:
    what = f'<span class="{line.mark}">{escape(line.what)}</span>'
    if len(line.more) > 90 or "\n" in line.more:
        what = f"<details><summary>{what}</summary><pre>{escape(line.more)}</pre></details>"
    elif line.more:
        what = f'{what} <span class="mono dim">{escape(line.more)}</span>'
    part = escape(line.part)
    return f'<tr><td class="number">{line.at:.2f}</td><td class="dim part">{part}</td><td>{what}</td></tr>'
