"""`toolgate pins show | diff | accept`: the definitions of tools that are in force, and those that wait.

Works without the servers' secrets, and without the servers: the gateway wrote down what they offer.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.cli.files import usable_state
from gateway.cli.output import show_json, table, visible
from gateway.cli.who import user
from gateway.config import Config, load_without_servers
from gateway.config_checks import nearest
from gateway.errors import ConfigError, Problem
from gateway.pins import PinRow, Pins
from gateway.state import open_store
from gateway.times import moment

_SHOWN = 12
"""Digits of a digest that are shown to people."""


def run(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    deeds = {"show": _show, "diff": _diff, "accept": _accept}
    with _open(config) as pins:
        return deeds[arguments.deed](arguments, pins, config)


@contextmanager
def _open(config: Config) -> Iterator[Pins]:
    """The pins in the state folder. Raises ConfigError when no gateway has made it yet."""
    if config.shared is None and not config.database.exists():
        message = "is not there: no gateway has run with this configuration, so nothing is pinned yet"
        fix = "run toolgate serve first, or name the right file with --config"
        raise ConfigError([Problem(str(config.database), "file", message, fix)])
    with usable_state(config):
        store = open_store(config)
        try:
            pins = Pins(store)
            try:
                yield pins
            finally:
                pins.close()
        finally:
            store.stop()


def _show(arguments: argparse.Namespace, pins: Pins, config: Config) -> int:
    rows = _chosen(pins.rows(), arguments.server, config)
    if arguments.json:
        show_json([_shape(row) for row in rows])
        return 0
    cells = [(r.pin.server, r.pin.tool, r.state, _digest(r), moment(r.at) or "", r.pin.why or "") for r in rows]
    print(table(("SERVER", "TOOL", "STATE", "DIGEST", "SINCE", "WHY"), cells))
    waiting = sum(row.state == "withheld" for row in rows)
    if waiting:
        print(f"\n{waiting} withheld. See: toolgate pins diff. To offer one: toolgate pins accept SERVER/TOOL")
    return 0


def _diff(arguments: argparse.Namespace, pins: Pins, config: Config) -> int:
    rows = [row for row in _chosen(pins.rows(), arguments.tool, config) if row.offered is not None]
    for row in rows:
        print(_compared(row))
    if not rows:
        print("Nothing is withheld.")
    return 1 if rows else 0


def _accept(arguments: argparse.Namespace, pins: Pins, config: Config) -> int:
    chosen = _chosen(pins.rows(), None if arguments.all else arguments.tool, config)
    waiting = [row for row in chosen if row.pin.offered is not None]
    if arguments.digest:
        waiting = [row for row in waiting if (row.pin.offered or "").startswith(arguments.digest)]
    if not waiting:
        what = "with this digest " if arguments.digest else ""
        print(f"toolgate pins accept: nothing {what}is withheld there. Fix: see toolgate pins show", file=sys.stderr)
        return 1
    done = [row for row in waiting if pins.accept(row.pin, user())]
    for row in waiting:
        name = f"{row.pin.server}/{row.pin.tool}"
        if row in done:
            print(f"{name} is accepted as it is now ({_digest(row)}).")
        else:
            text = f"toolgate pins accept: {name} changed meanwhile. Fix: see toolgate pins diff {name}, then try again"
            print(text, file=sys.stderr)
    if done:
        print("A running gateway offers it within a second.")
    return 0 if len(done) == len(waiting) else 1


def _chosen(rows: list[PinRow], target: str | None, config: Config) -> list[PinRow]:
    """Rows of `SERVER`, of `SERVER/TOOL`, or all. Raises ConfigError when there is none of that name."""
    if target is None:
        return rows
    found = [row for row in rows if target in (row.pin.server, f"{row.pin.server}/{row.pin.tool}")]
    if not found:
        known = {row.pin.server for row in rows} | {f"{row.pin.server}/{row.pin.tool}" for row in rows}
        message = f"nothing of this name was ever listed{nearest(target, known)}"
        raise ConfigError([Problem(str(config.database), target, message, "see toolgate pins show")])
    return found


def _shape(row: PinRow) -> dict[str, str | None]:
    pin = row.pin
    return {
        "server": pin.server,
        "tool": pin.tool,
        "state": row.state,
        "digest": pin.digest,
        "offered": pin.offered,
        "why": pin.why,
        "since": moment(row.at),
    }


def _compared(row: PinRow) -> str:
    """A unified diff from the accepted definition, empty for a tool never accepted, to the one offered now."""
    name = f"{row.pin.server}/{row.pin.tool}"
    before, after = _lines(row.definition), _lines(row.offered)
    accepted = f"{name} accepted {(row.pin.digest or 'never')[:_SHOWN]}"
    lines = difflib.unified_diff(before, after, accepted, f"{name} offered {_digest(row)}", lineterm="", n=5)
    why = f"{name} is withheld: {row.pin.why}"
    how = f"To offer it: toolgate pins accept {name} --digest {_digest(row)}"
    return "\n".join(["", why, *lines, how])


def _lines(definition: str | None) -> list[str]:
    if definition is None:
        return []
    return visible(json.dumps(json.loads(definition), indent=2, ensure_ascii=False)).split("\n")


def _digest(row: PinRow) -> str:
    return (row.pin.offered or row.pin.digest or "")[:_SHOWN]
