"""`toolgate audit tail | search | show`: events as people read them, one a line, or one whole."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from gateway.cli.files import usable_state
from gateway.cli.output import no, one_line, show_json, table, visible
from gateway.config import load_without_servers
from gateway.state import open_store
from gateway.store import Store
from gateway.times import exactly
from gateway.trail import Event, Wanted, newest, oldest

_POLL = 0.5
_LATE = 200
_MOST = 100
"""Events of one call that are shown."""
_WIDTHS = (23, 12, 10, 12, 26, 32)
"""Of the columns, where each line is printed before the next is known."""
_HEADER = ("AT", "EVENT", "KIND", "AGENT", "TOOL", "CALL", "WHAT")
_DETAIL = 80
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
"""Shown by its beginning, as elsewhere."""


def tail(arguments: argparse.Namespace) -> int:
    with opened(arguments) as store:
        wanted = wanted_of(arguments)
        last = newest(store, wanted, arguments.limit)[::-1]
        _print(last, arguments, lines=True)
        if arguments.follow:
            _follow(arguments, store, wanted, {event.seq for event in newest(store, Wanted(), _LATE)} or {0})
    return 0


def search(arguments: argparse.Namespace) -> int:
    with opened(arguments) as store:
        found = newest(store, wanted_of(arguments), arguments.limit)
    _print(found, arguments, lines=False)
    if not arguments.json and len(found) == arguments.limit:
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
        show_json([shape(event) for event in found])
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
    server, _, tool = (arguments.tool or "").rpartition("/") if "://" not in (arguments.tool or "") else _uri(arguments)
    names = ("agent", "run", "call", "kind", "reason", "since", "until")
    return Wanted(server=server or None, tool=tool or None, **{name: getattr(arguments, name) for name in names})


def _uri(arguments: argparse.Namespace) -> tuple[str, str, str]:
    """A resource: SERVER/URI, for no server's name has a colon in it; or its URI."""
    server, slash, uri = arguments.tool.partition("/")
    return ("", "", arguments.tool) if ":" in server else (server, slash, uri)


def shape(event: Event) -> dict[str, Any]:
    """An event for programs."""
    names = ("seq", "kind", "call", "agent", "server", "tool", "run", "reason", "data", "chain", "n", "digest")
    return {"at": exactly(event.at), **{name: getattr(event, name) for name in names}}


def _follow(arguments: argparse.Namespace, store: Store, wanted: Wanted, known: set[int]) -> None:
    """For ever: what comes after the events `known`, the last ones that there were."""
    while True:
        time.sleep(_POLL)
        # On PostgreSQL one may appear after another that has a later number: the last ones are looked at again.
        begin = max(max(known) - _LATE, min(known))
        fresh = [event for event in oldest(store, replace(wanted, after=begin)) if event.seq not in known]
        known |= {event.seq for event in fresh}
        _print(fresh, arguments, lines=True, header=False)


def _print(found: list[Event], arguments: argparse.Namespace, *, lines: bool, header: bool = True) -> None:
    if arguments.json:
        if lines:
            for event in found:
                print(json.dumps(shape(event)), flush=True)
        else:
            show_json([shape(event) for event in found])
        return
    rows = [_cells(event) for event in found]
    if lines:
        for cells in [_HEADER, *rows] if header else rows:
            told = "  ".join(one_line(cell).ljust(width) for cell, width in zip(cells, (*_WIDTHS, 0), strict=True))
            print(told.rstrip(), flush=True)
    elif rows:
        print(table(_HEADER, rows))
    else:
        print("No event is like that.")


def _cells(event: Event) -> tuple[str, ...]:
    at = exactly(event.at).replace("T", " ").removesuffix("+00:00")
    tool = f"{event.server}/{event.tool}" if event.server else event.tool
    return (at, place(event), event.kind, event.agent or "-", tool or "-", event.call or "-", told(event))


def place(event: Event) -> str:
    """How an event is named: CHAIN/N, or its number where it is in no chain."""
    return f"{event.chain}/{event.n}" if event.n is not None else str(event.seq)


_SAYS = {
    "outcome": ("outcome", "spends", "preview"),
    "intent": ("rule", "key"),
    "refusal": ("detail",),
    "settled": ("verdict", "by", "words"),
    "ticket": ("deed", "ticket"),
    "decision": ("verdict", "reviewer", "ticket", "words"),
    "start": ("version", "policy"),
    "policy": ("digest",),
    "reload": ("problems",),
    "checkpoint": ("what", "n", "where", "found", "problem"),
    "archived": ("file",),
    "gap": ("problem",),
    "mode": ("read_only", "by"),
    "pin": ("deed", "why", "by"),
    "token": ("what", "id"),
    "reviewer": ("what", "name", "id"),
    "login": ("what", "name"),
    "run": ("state", "why"),
    "undo": ("result", "why", "ticket"),
    "key": ("key", "by"),
    "guard": ("masked", "stripped", "withheld", "cut", "markers"),
    "notice": ("deed", "kind", "problem"),
}
"""What of `data` one line has room for."""


def told(event: Event) -> str:
    """What an event says, in few words."""
    values = [event.data.get(name) for name in _SAYS.get(event.kind, ())]
    words = [event.reason, *(value if isinstance(value, str) else json.dumps(value) for value in values if value)]
    text = one_line(" ".join(_DIGEST.sub(r"\1", word) for word in words if word))
    return text if len(text) <= _DETAIL else text[: _DETAIL - 1] + "…"


def _whole(event: Event) -> str:
    fields = {"at": exactly(event.at), "event": place(event), "kind": event.kind, "call": event.call}
    fields |= {"agent": event.agent, "tool": f"{event.server}/{event.tool}" if event.server else event.tool}
    fields |= {"run": event.run or "", "reason": event.reason or "", "digest": event.digest or ""}
    lines = [f"{name:<8}{one_line(value)}" for name, value in fields.items() if value]
    data = visible(json.dumps(event.data, indent=2, ensure_ascii=False))
    return "\n".join([*lines, *(f"        {line}" for line in data.splitlines())])
