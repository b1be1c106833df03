"""What the tests of faults share: one agent that may do everything, and what the gateway wrote down."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from recorder import Shop

RECORDER = Path(__file__).parents[1] / "recorder.py"
RULES = '[[allow]]\ntool = "*/*"\n[[deny]]\ntool = "toolgate/*"\n'
POLICIES = {"worker.toml": f'agent = "worker"\ndescription = "Calls every server."\n{RULES}'}


def http(shops: Iterable[Shop], extra: str = "") -> str:
    """The `[servers.NAME]` tables of recorders over HTTP."""
    return "".join(f'[servers.{shop.name}]\nurl = "{shop.url}"\n{extra}\n' for shop in shops)


def stdio(name: str, record: Path, *options: str, extra: str = "") -> str:
    """The `[servers.NAME]` table of a recorder on standard input and output."""
    arguments = json.dumps([str(RECORDER), name, str(record), *options])
    return f'[servers.{name}]\ncommand = "{sys.executable}"\nargs = {arguments}\nera = "legacy"\n{extra}\n'


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Events of one kind as the gateway's database holds them, columns and data in one."""
    with closing(sqlite3.connect(folder / "var" / "toolgate.db")) as database:
        rows = database.execute("SELECT call, reason, data FROM events WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
    return [{"call": call, "reason": reason, **json.loads(data)} for call, reason, data in rows]
