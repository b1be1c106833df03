"""All evidence compared: events with their chains, chains with checkpoints, what was archived with what is left."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from sqlalchemy import select

from gateway.chain import Head
from gateway.database import Database
from gateway.evidence.checkpoints import Checkpoint, Series
from gateway.evidence.faults import Fault
from gateway.evidence.lines import rows_of
from gateway.evidence.rows import CHAIN, DATA, DIGEST, KIND, SEQ, N, Row, Rows, snapshot
from gateway.evidence.walk import START, Walk
from gateway.tables import anchors

_ARCHIVED = b'"kind":"archived"'


@dataclass(slots=True)
class Report:
    """What was found. `chains` tells of each the first and last place in the store. Without `faults` all is proved but
    for what `notes` say; `unwitnessed` events came after the last checkpoint (at `checkpoint`, None: there is none).
    """

    events: int = 0
    archived: int = 0
    chains: dict[str, tuple[int, int]] = field(default_factory=dict)
    unchained: int = 0
    checkpoints: int = 0
    checkpoint: float | None = None
    unwitnessed: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Moved:
    """What an `archived` event, which stands at `where`, says."""

    where: str
    file: str
    sha256: str
    previous: str
    anchors: dict[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a `checkpoint` event, which stands at `where`, says."""

    where: str
    n: int
    digest: str
    key: str


class Verification:
    """Compares with the checkpoints of `series`; `digests` tells all digests of checkpoints that there are by now, for
    more may come while the events are read. `archives` are the files of the archive that are here.
    """

    def __init__(self, series: Series, digests: Callable[[], Collection[str]], archives: Iterable[Path] = ()) -> None:
        self._series = series
        self._digests = digests
        self._archives = sorted(archives)
        self._moved: list[Moved] = []
        self._told: list[Told] = []
        self.report = Report(checkpoints=len(series.read), faults=list(series.faults))
        self._witnessed: dict[str, dict[int, tuple[str, str]]] = {}
        for checkpoint in series.read:
            self.report.checkpoint = max(self.report.checkpoint or 0.0, checkpoint.at)
            for chain, (n, digest) in checkpoint.heads.items():
                self._witness(chain, n, digest, checkpoint)
        self._ends = {chain: max(seen) for chain, seen in self._witnessed.items()}
        self._alone = self._witnessed.pop("", {})

    def _witness(self, chain: str, n: int, digest: str, checkpoint: Checkpoint) -> None:
        who = f"checkpoint {checkpoint.n}"
        known = self._witnessed.setdefault(chain, {}).setdefault(n, (digest, who))
        if known[0] != digest:
            told = f"is another event for {who} than for {known[1]}: the log was rolled back between them"
            self.report.faults.append(Fault(f"{chain}/{n}", told))

    def of_store(self, database: Database) -> Report:
        """Read all events of a database. Raises SQLAlchemyError and the driver's errors when it cannot be read."""
        with snapshot(database) as rows:
            return self.of_rows(rows)

    def of_rows(self, rows: Rows) -> Report:
        started = time.perf_counter()
        begins = _anchors(rows)
        walk = Walk(begins, self._witnessed, numbered=not rows.postgresql)
        for page in rows.all():
            walk.go(page)
            self._note_marks(page)
            self._range(page)
        walk.end()
        self.report.faults += walk.faults
        self._compare_unchained(walk.unchained)
        self._compare_begins(begins)
        self._compare_checkpoints()
        self._of_archives(begins)
        self._count(walk)
        self.report.seconds = time.perf_counter() - started
        return self.report

    def of_lines(self, name: str, lines: Iterable[bytes]) -> Report:
        """Read events from an export of whole chains, or of their ends."""
        started = time.perf_counter()
        walk = Walk({}, self._witnessed)
        for row in self._rows(name, lines):
            chain, n = row[CHAIN], row[N]
            if n is not None and n > 1 and chain not in walk.heads:
                self.report.notes.append(
                    f"{name} begins at event {n} of chain {chain}, which itself cannot be computed"
                )
                walk.heads[chain] = Head(n, row[DIGEST], 0)
            else:
                walk.go([row])
            self._range([row])
        walk.end()
        self.report.faults += walk.faults
        if walk.unchained.n:
            self._compare_unchained(walk.unchained)
        self._count(walk)
        self.report.seconds = time.perf_counter() - started
        return self.report

    def _note_marks(self, page: Iterable[Row]) -> None:
        for row in page:
            if row[KIND] not in ("archived", "checkpoint"):
                continue
            where = f"{row[CHAIN]}/{row[N]}"
            try:
                data = orjson.loads(row[DATA])
                if row[KIND] == "archived":
                    begins = {chain: (n, digest) for chain, (n, digest) in data["anchors"].items()}
                    self._moved.append(Moved(where, data["file"], data["sha256"], data["previous"], begins))
                elif "digest" in data:
                    self._told.append(Told(where, data["n"], data["digest"], data["key"]))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # it was altered, which its digest tells

    def _range(self, page: Iterable[Row]) -> None:
        chains = self.report.chains
        for row in page:
            chain, n = row[CHAIN], row[N]
            if isinstance(n, int):
                known = chains.get(chain)
                chains[chain] = (n if known is None else known[0], n)

    def _count(self, walk: Walk) -> None:
        report = self.report
        report.events, report.unchained = walk.events, walk.unchained.n
        report.unwitnessed = sum(max(0, head.n - self._ends.get(chain, 0)) for chain, head in walk.heads.items())
        if not report.checkpoints:
            report.notes.append("no checkpoint was compared with: a log that was rewritten whole would not be noticed")

    def _compare_unchained(self, found: Head) -> None:
        """Events of before 0.2 are in no chain; checkpoints say what there was of them."""
        for n, (digest, who) in self._alone.items():
            if (n, digest) != found[:2]:
                told = f"are not those that {who} has seen: {n} then, {found.n} now"
                self.report.faults.append(Fault("events of before 0.2", told))
                return
        if found.n and self._series.read and not self._alone:
            told = f"were not there for any checkpoint, and {found.n} are now"
            self.report.faults.append(Fault("events of before 0.2", told))

    def _compare_begins(self, begins: Mapping[str, Head]) -> None:
        """What is not in the store must have been archived: the newest `archived` event of the store says so."""
        told = self._moved[-1].anchors if self._moved else {}
        for chain, head in begins.items():
            n, digest = told.get(chain, (0, ""))
            if n < head.n:
                what = "is gone, with all before it, and no event says that they were archived"
                self.report.faults.append(Fault(f"{chain}/{head.n}", what))
            elif n == head.n and digest != head.digest:
                self.report.faults.append(Fault(f"{chain}/{head.n}", "is not the event that was archived"))

    def _compare_checkpoints(self) -> None:
        """A checkpoint that an event tells of must be there, if it was signed by a key that is known here."""
        ours = [told for told in self._told if told.key in self._series.trusted]
        there = self._digests() if ours else ()
        for told in ours:
            if told.digest not in there:
                what = f"tells of checkpoint {told.n}, which is not in the files that were read"
                self.report.faults.append(Fault(told.where, what))
        for key in sorted({told.key for told in self._told} - {*self._series.trusted}):
            self.report.notes.append(f"checkpoints signed by the key {key} were not read: name them, and the key")

    def _of_archives(self, begins: Mapping[str, Head]) -> None:
        """Compute archived events again, and compare with where the store begins."""
        for path in self._archives:
            # What names a file may itself be in a later one by now.
            with path.open("rb") as lines:
                rows = rows_of(line for line in lines if _ARCHIVED in line)
                self._note_marks(row for row in rows if not isinstance(row, int))
        named = {moved.file: moved for moved in self._moved}
        witnessed = {chain: dict(seen) for chain, seen in self._witnessed.items()}
        for chain, head in begins.items():
            witnessed.setdefault(chain, {})[head.n] = (head.digest, "the store")
        walk = Walk({}, witnessed)
        for path in self._archives:
            self._archive(path, walk, named.get(path.name))
        self.report.faults += walk.faults
        self.report.archived = walk.events
        for chain, head in begins.items():
            reached = walk.heads.get(chain, START).n
            if reached < head.n:
                self._not_read(chain, reached, head.n + 1)

    def _archive(self, path: Path, walk: Walk, moved: Moved | None) -> None:
        content = path.read_bytes()
        if moved is None:
            self.report.notes.append(f"{path.name} is named by no event that was read")
        elif hashlib.sha256(content).hexdigest() != moved.sha256:
            self.report.faults.append(Fault(path.name, f"is not the file that event {moved.where} tells of"))
        begun = False
        for row in self._rows(path.name, content.splitlines()):
            chain, n = row[CHAIN], row[N]
            if n is None:
                self.report.faults.append(Fault(f"{path.name}, seq {row[SEQ]}", "was inserted: it is in no chain"))
                continue
            head = walk.heads.get(chain, START)
            if n > head.n + 1 and not begun:
                self._not_read(chain, head.n, n)
                walk.heads[chain] = Head(n - 1, moved.previous, 0) if moved is not None else Head(n, row[DIGEST], 0)
            begun = True
            if n > walk.heads.get(chain, START).n:
                walk.go([row])

    def _rows(self, name: str, lines: Iterable[bytes]) -> Iterator[Row]:
        for row in rows_of(lines):
            if isinstance(row, int):
                self.report.faults.append(Fault(f"{name}:{row}", "is no event: the line was altered or cut off"))
            else:
                yield row

    def _not_read(self, chain: str, after: int, before: int) -> None:
        self.report.notes.append(
            f"events {after + 1} to {before - 1} of chain {chain} are in archives that were not read"
        )


def _anchors(rows: Rows) -> dict[str, Head]:
    return {row.chain: Head(row.n, row.digest, 0) for row in rows.connection.execute(select(anchors))}
