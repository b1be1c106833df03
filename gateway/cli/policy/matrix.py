"""`toolgate policy matrix`: agents against tools, for a terminal, as JSON, or as a page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import fill

from gateway.cli.output import show_json
from gateway.cli.policy.opened import Opened, offered, opened
from gateway.policy.loader import TESTS
from gateway.policy.matrix import BOUNDED, MEANING, Cell, Matrix, matrix, matrix_json
from gateway.policy.objects import Object, objects
from gateway.policy.trials import read

WIDTH = 100
_MARKS = {"yes": "yes", "depends": "args", "gate": "gate", "no": "-"}


def run(arguments: argparse.Namespace) -> int:
    """1 when a server could not be reached: its tools are missing."""
    at = opened(arguments.config)
    tools, complete = _offered(arguments) if arguments.connect else (_named(at), True)
    shown = matrix(at.policy, tools)
    if arguments.html is not None:
        from gateway.cli.policy.page import page

        arguments.html.write_text(page(shown, at.policy.digest, arguments.connect), encoding="utf-8")
        print(arguments.html)
    elif arguments.json:
        show_json(matrix_json(shown))
    else:
        print("\n\n".join(_report(shown)))
    return 0 if complete else 1


def _offered(arguments: argparse.Namespace) -> tuple[list[Object], bool]:
    known, complete = offered(arguments.config)
    return objects([], known, known), complete


def _named(at: Opened) -> list[Object]:
    """What rules and tests name, and a stand-in for each glob."""
    rules = [rule for agent in at.policy.agents for rule in at.policy.rules(agent) if rule.action == "call"]
    tried = read(at.policy, at.folder, at.servers) if os.path.lexists(at.folder / TESTS) else []
    requests = [trial.request for trial in tried if trial.request.action == "call"]
    named = {server: {each.name for each in requests if each.server == server} for server in at.servers}
    return objects(rules, at.servers, named)


def _report(shown: Matrix) -> Iterator[str]:
    """Tables of at most 100 columns: with many agents one below the other."""
    if not shown.rows:
        yield "No rule or test names a tool. Ask the servers: toolgate policy matrix --connect"
        return
    first = max(len(row.tool.label) for row in shown.rows) + 4
    names = _names(shown.agents, WIDTH - first)
    for columns in _fitting(names, WIDTH - first):
        yield _table(shown, names, columns, first)
    legend = [f"{_MARKS[access]:5} {meaning}" for access, meaning in MEANING.items()]
    if any(cell.bounded for row in shown.rows for cell in row.cells):
        legend.append(f"{'+':5} {BOUNDED}")
    yield "\n".join(legend)
    if any(row.tool.is_glob for row in shown.rows):
        yield "A name with * stands for whatever else it matches. --connect shows the tools that are there."
    if shortened := [f"{name} {agent}" for name, agent in zip(names, shown.agents, strict=True) if name != agent]:
        yield fill(f"Agents: {', '.join(shortened)}", WIDTH, break_on_hyphens=False)


def _table(shown: Matrix, names: Sequence[str], columns: range, first: int) -> str:
    widths = [_wide(name) for name in names]
    lines = ["".join([" " * first, *(names[place].ljust(widths[place]) for place in columns)]).rstrip()]
    for server, rows in groupby(shown.rows, lambda row: row.tool.server):
        lines.append(server)
        for row in rows:
            marks = (_mark(row.cells[place]).ljust(widths[place]) for place in columns)
            lines.append("".join([f"  {row.tool.label}".ljust(first), *marks]).rstrip())
    return "\n".join(lines)


def _mark(cell: Cell) -> str:
    return _MARKS[cell.access] + ("+" if cell.bounded else "")


def _wide(name: str) -> int:
    return max(4, len(name)) + 2


def _names(agents: Sequence[str], width: int) -> list[str]:
    """The agents' names; where all do not fit beside each other, four characters of each, or else numbers."""
    if sum(map(_wide, agents)) <= width:
        return list(agents)
    short = [agent[:4] for agent in agents]
    return short if len(set(short)) == len(short) else [f"a{number}" for number in range(1, len(agents) + 1)]


def _fitting(names: Sequence[str], width: int) -> Iterator[range]:
    """The columns of one table after the other, none wider than `width` but with one column."""
    start = taken = 0
    for place, name in enumerate(names):
        if place > start and taken + _wide(name) > width:
            yield range(start, place)
            start, taken = place, 0
        taken += _wide(name)
    yield range(start, len(names))
