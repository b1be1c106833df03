"""`toolgate audit tail | search | show`: events as people read them, one a line, or one whole."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gateway.cli.files import usable_state
from gateway.cli.output import no, one_line, show_json, table, visible
from gateway.config import load_without_servers
from gateway.state import open_store
from gateway.store import Store
from gateway.telling import gist
from gateway.times import exactly
from gateway.trail import Event, Wanted, event_json, newest, oldest, target

_POLL = 0.5
_LATE = 200
_MOST = 100
"""Events of one call that are shown."""
_WIDTHS = (23, 12, 10, 12, 26, 32, 0)
"""Of the columns at least, where each line is printed before the next is known."""
_HEADER = ("AT", "EVENT", "KIND", "AGENT", "TOOL", "CALL", "WHAT")


def tail(arguments: argparse.Namespace) -> int:
    with opened(arguments) as store:
        wanted = wanted_of(arguments)
        last = newest(store, wanted, arguments.limit)[::-1]
        rows = [_HEADER, *map(_cells, last)]
        widths = [max(least, *map(len, column)) for least, column in zip(_WIDTHS, zip(*rows, strict=True), strict=True)]
        if not arguments.json:
            _print_line(_HEADER, widths)
        _print_lines(last, arguments, widths)
        if arguments.follow:
            known = {event.seq for event in newest(store, Wanted(), _LATE)} or {0}
            _print_lines(_followed(store, wanted, known), arguments, widths)
    return 0


def search(arguments: argparse.Namespace) -> int:
    with opened(arguments) as store:
        found = newest(store, wanted_of(arguments), arguments.limit)
    if arguments.json:
        show_json([event_json(event) for event in found])
        return 0
    print(table(_HEADER, [_cells(event) for event in found]) if found else "No event is like that.")
    if len(found) == arguments.limit:
        print(f"\nThese are the last {arguments.limit}; there may be more: see --limit.")
    return 0


def show(arguments: argparse.Namespace) -> int:
    which = arguments.which
    chain, _, place = which.rpartition("/")
    wanted = Wanted(call=which)
    if chain and place.isdecimal():
        wanted = Wanted(chain=chain, n=int(place))
    elif which.isdecimal() and len(which) < 16:
        wanted = Wanted(seq=int(which))
    with opened(arguments) as store:
        found = newest(store, wanted, _MOST)[::-1]
    if not found:
        return no(arguments, f"there is no event and no call {which!r}", "see toolgate audit search")
    if arguments.json:
        show_json([event_json(event) for event in found])
        return 0
    print("\n\n".join(_whole(event) for event in found))
    return 0


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[Store]:
    """The store of the configuration."""
    config = load_without_servers(arguments.config, os.environ)
    with usable_state(config):
        store = open_store(config)
        try:
            yield store
        finally:
            store.stop()


def wanted_of(arguments: argparse.Namespace) -> Wanted:
    """What the options of a verb ask for."""
    server, tool = target(arguments.tool or "")
    names = ("agent", "run", "call", "kind", "reason", "since", "until")
    return Wanted(server=server, tool=tool, **{name: getattr(arguments, name) for name in names})


def _followed(store: Store, wanted: Wanted, known: set[int]) -> Iterator[Event]:
    """For ever: what comes after the events `known`, the last ones that there were."""
    while True:
        time.sleep(_POLL)
        # On PostgreSQL one may appear after another that has a later number: the last ones are looked at again.
        begin = max(max(known) - _LATE, min(known))
        for event in oldest(store, replace(wanted, after=begin)):
            if event.seq not in known:
                known.add(event.seq)
                yield event


def _print_lines(found: Iterable[Event], arguments: argparse.Namespace, widths: Sequence[int]) -> None:
    for event in found:
        if arguments.json:
            print(json.dumps(event_json(event)), flush=True)
        else:
            _print_line(_cells(event), widths)


def _print_line(cells: Sequence[str], widths: Sequence[int]) -> None:
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


def _cells(event: Event) -> tuple[str, ...]:
    at = exactly(event.at).replace("T", " ").removesuffix("+00:00")
    tool = f"{event.server}/{event.tool}" if event.server else event.tool
    cells = (at, place(event), event.kind, event.agent or "-", tool or "-", event.call or "-", gist(event))
    return tuple(one_line(cell) for cell in cells)


def place(event: Event) -> str:
    """How an event is named: CHAIN/N, or its number where it is in no chain."""
    return f"{event.chain}/{event.n}" if event.n is not None else str(event.seq)


def _whole(event: Event) -> str:
    fields = {"at": exactly(event.at), "event": place(event), "kind": event.kind, "call": event.call}
    fields |= {"agent": event.agent, "tool": f"{event.server}/{event.tool}" if event.server else event.tool}
    fields |= {"run": event.run or "", "reason": event.reason or "", "digest": event.digest or ""}
    lines = [f"{name:<8}{one_line(value)}" for name, value in fields.items() if value]
    data = visible(json.dumps(event.data, indent=2, ensure_ascii=False))
    return "\n".join([*lines, *(f"        {line}" for line in data.splitlines())])
