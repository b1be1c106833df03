"""A log with checkpoints, made by the parts that make one in a gateway, and its verification."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from databases import Place
from sqlalchemy import Connection

from gateway.events import EventRow, event_row, insert_events
from gateway.evidence.checkpoints import CheckpointFile, Series, digest_of, lines_of
from gateway.evidence.keys import PUBLIC, Keys, by_id, public_keys
from gateway.evidence.rows import Rows
from gateway.evidence.verify import Report, Verification
from gateway.evidence.witness import Witness
from gateway.metrics import Metrics
from gateway.settings import AuditSettings
from gateway.store import Store

NOW = 1_800_000_000.0
_numbers = itertools.count(1)


def some(count: int, begin: float = NOW) -> list[EventRow]:
    """Events as calls make them, one a second."""
    rows = []
    for number in range(count):
        call = f"call{next(_numbers):08d}"
        data = {"arguments": {"sku": f"SKU-{number}", "note": 'größer, "quoted" \u2028 and \\u0000'}, "rule": "shop:1"}
        told = {"call": call, "agent": "ada", "server": "shop", "tool": "note", "run": None if number % 3 else "R-1"}
        reason = "denied" if number % 7 == 0 else None
        rows.append(event_row(begin + number, "intent", data, reason=reason, **told))  # type: ignore[arg-type]
    return rows


@dataclass
class Log:
    """The log in `place`, its keys and checkpoints in `folder`."""

    place: Place
    folder: Path
    store: Store = field(init=False)
    metrics: Metrics = field(init=False, default_factory=Metrics)
    file: CheckpointFile = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.store = self.place.open()
        self.file = CheckpointFile(self.folder / "checkpoints.jsonl", Keys(self.folder))

    def write(self, rows: Iterable[EventRow], chain: str = "main") -> None:
        """Add events; on PostgreSQL to any chain."""
        store = self.place.open(chain=chain)
        try:
            given = [*rows]
            for begin in range(0, len(given), 500):
                store.run(lambda connection, begin=begin: insert_events(connection, given[begin : begin + 500]))
        finally:
            store.stop()

    def witness(self, **settings: int) -> Witness:
        """One that begins where the last checkpoint ends."""
        return Witness(self.store, self.file, "one", AuditSettings(**settings), self.metrics)

    def checkpoint(self, witness: Witness | None = None) -> None:
        """Sign all there is, and write the events that tell of it."""
        told = (witness or self.witness()).look(closing=True)
        self.store.run(lambda connection: insert_events(connection, told))

    def lines(self) -> list[bytes]:
        return lines_of(self.file.path.read_bytes())

    def verify(self, lines: list[bytes] | None = None, archive: Path | None = None) -> Report:
        return self.verification(lines, archive).of_store(self.store.database)

    def verify_within(self, connection: Connection) -> Report:
        """What a verification finds in a transaction that is open."""
        return self.verification().of_rows(Rows(connection))

    def verification(self, lines: list[bytes] | None = None, archive: Path | None = None) -> Verification:
        given = self.lines() if lines is None else lines
        series = Series(by_id(public_keys(self.folder / PUBLIC)))
        series.file("checkpoints.jsonl", given)
        files = [] if archive is None else archive.glob("*.jsonl")
        return Verification(series, lambda: {digest_of(line) for line in given}, files)

    def close(self) -> None:
        self.store.stop()


def places(report: Report) -> list[str]:
    return [fault.where for fault in report.faults]
