"""`toolgate audit export`: events as lines that can be proved elsewhere, see `gateway.evidence.lines`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from gateway.cli.audit.events import opened, wanted_of
from gateway.cli.output import no
from gateway.evidence.lines import line_of
from gateway.evidence.rows import COLUMNS, Row
from gateway.store import Store
from gateway.tables import events
from gateway.trail import Wanted

_PAGE = 1000


def export(arguments: argparse.Namespace) -> int:
    name = arguments.file
    try:
        target = nullcontext(sys.stdout.buffer) if name == "-" else os.fdopen(_new(Path(name)), "wb")
    except FileExistsError:
        return no(arguments, f"{name} is there already", "name a file that is not")
    with target as file, opened(arguments) as store:
        for row in _rows(store, wanted_of(arguments)):
            file.write(line_of(row) + b"\n")
    return 0


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _rows(store: Store, wanted: Wanted) -> Iterator[Row]:
    """Events exactly as they are stored, in the order of the log."""
    of = wanted.select().order_by(events.c.seq).limit(_PAGE)
    last = -1
    while page := store.read(of.where(events.c.seq > last)):
        for row in page:
            yield tuple(row._mapping[name] for name in COLUMNS)
        last = page[-1].seq
