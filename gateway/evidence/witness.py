"""The witness of a running gateway: it computes events again as they come, and signs how far that went well."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import select

from gateway.chain import Head
from gateway.errors import ConfigError
from gateway.events import EventRow, event_row
from gateway.evidence.checkpoints import CheckpointFile
from gateway.evidence.faults import Fault
from gateway.evidence.rows import DIGEST, KIND, SEQ, N, Rows
from gateway.evidence.walk import START, linked
from gateway.metrics import Metrics
from gateway.settings import AuditSettings
from gateway.store import Store
from gateway.tables import anchors

log = logging.getLogger("toolgate.audit")

_PAGE = 1000
"""Events looked at in one go."""
_BREATH = 0.001
"""Seconds after each, in which calls have the interpreter."""
_MOST = 100
"""Faults that one checkpoint tells of: its line is read, and sent, whole."""


class Witness:
    """Follows all chains of `store` and adds checkpoints to `file` in the name of `writer`.

    A place where a chain is not what it was, or does not go on from the last checkpoint, is told once: in the log, by a
    metric, in the next checkpoint and in an event. It goes on from what is there.
    """

    def __init__(
        self,
        store: Store,
        file: CheckpointFile,
        writer: str,
        settings: AuditSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._file = file
        self._writer = writer
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._heads: dict[str, Head] | None = None
        self._begins: dict[str, Head] = {}
        self._pending = 0
        self._written = time.monotonic()
        self._failing = False
        self._faults: list[Fault] = []
        self._told: list[EventRow] = []
        self._alone = threading.Lock()

    def look(self, *, closing: bool = False) -> list[EventRow]:
        """Look at what is new, and write what checkpoints are due; the events that tell of it, to be written.

        Blocks. `closing`: whatever is new gets a checkpoint. Raises SQLAlchemyError and the driver's errors.
        """
        with self._alone, self._store.database.connect() as connection:
            rows = Rows(connection)
            begun = connection.execute(select(anchors)).all()
            self._begins = {row.chain: Head(row.n, row.digest, 0) for row in begun}
            first = self._heads is None
            try:
                heads = self._begin(rows) if self._heads is None else self._heads
            except OSError as error:
                return self._cannot(error)
            ends = rows.heads()
            for chain in {**heads, **ends}.keys() - {""}:
                self._follow(rows, heads, chain, ends.get(chain, START), catching_up=first)
            self._heads = heads
            self._metrics.audit_verified.set(self._clock())
            due = time.monotonic() - self._written >= self._settings.interval
            if self._faults or (self._pending and (due or closing)):
                self._write(heads)
            self._metrics.audit_unwitnessed.set(self._pending)
            return self._taken()

    def _begin(self, rows: Rows) -> dict[str, Head]:
        """Where the last checkpoint says that chains ended; what is not so now is a fault."""
        heads: dict[str, Head] = {}
        last = self._file.last()
        seen = {} if last is None else dict(last.heads)
        alone = seen.pop("", (0, START.digest))
        unchained = rows.unchained()
        if last is not None and unchained[:2] != alone:
            self._fault(Fault("events of before 0.2", f"are not those that checkpoint {last.n} has seen"))
        if unchained.n:
            heads[""] = unchained
        for chain, (n, digest) in seen.items():
            there = rows.after(chain, n - 1, 1)
            if there and there[0][N] == n and there[0][DIGEST] == digest:
                heads[chain] = Head(n, digest, there[0][SEQ])
            elif self._begins.get(chain, START).n < n:
                assert last is not None
                self._fault(Fault(f"{chain}/{n}", f"is not the event that checkpoint {last.n} has seen, or is missing"))
        return heads

    def _follow(self, rows: Rows, heads: dict[str, Head], chain: str, end: Head, *, catching_up: bool) -> None:
        head, begin = heads.get(chain, START), self._begins.get(chain, START)
        if head.n < begin.n:
            head = begin
        if head.n > end.n:
            self._fault(Fault(f"{chain}/{end.n + 1}", f"is missing, and all that follow: {head.n} was there"))
            head = end
        while head.n < end.n:
            room = _PAGE if catching_up or self._failing else max(1, self._settings.events - self._pending)
            page = rows.after(chain, head.n, min(room, _PAGE))
            if not page:
                break
            reached = linked(head, page)
            if reached.n < head.n + len(page):
                self._fault(Fault(f"{chain}/{reached.n + 1}", "is not what was written, or is missing"))
                reached = Head(page[-1][N], page[-1][DIGEST], page[-1][SEQ])
            head = heads[chain] = reached
            self._pending += sum(row[KIND] != "checkpoint" for row in page)
            if self._pending >= self._settings.events and not (catching_up or self._failing):
                self._write(heads)
            time.sleep(_BREATH)
        heads[chain] = head
        self._metrics.audit_height.labels(chain).set(head.n)

    def _write(self, heads: dict[str, Head]) -> None:
        """Add a checkpoint; where that fails it is due again at the next look."""
        seen = {chain: (head.n, head.digest) for chain, head in heads.items()}
        try:
            written = self._file.add(self._clock(), self._writer, seen, self._faults[:_MOST])
        except (OSError, ConfigError) as error:
            self._told += self._cannot(error)
            return
        if self._failing:
            log.warning("checkpoints can be written again")
        self._failing = False
        self._metrics.audit_checkpoint_ok.labels("file").set(1)
        self._metrics.audit_checkpoint.set(written.at)
        self._pending, self._faults, self._written = 0, [], time.monotonic()
        self._tell({"what": "written", "n": written.n, "digest": written.digest, "key": written.key})

    def _cannot(self, error: OSError | ConfigError) -> list[EventRow]:
        """Say so, and let the next look try again."""
        if not self._failing:
            log.error("no checkpoint can be written: %s. Calls go on; it is tried again", error)
            self._tell({"what": "failed", "problem": type(error).__name__})
        self._failing = True
        self._metrics.audit_checkpoint_ok.labels("file").set(0)
        return self._taken()

    def _taken(self) -> list[EventRow]:
        told, self._told = self._told, []
        return told

    def _fault(self, fault: Fault) -> None:
        log.error("the log of events was altered: %s %s. See toolgate audit verify", fault.where, fault.what)
        self._metrics.audit_faults.inc()
        self._faults.append(fault)
        self._tell({"what": "fault", "where": fault.where, "found": fault.what})

    def _tell(self, data: dict[str, object]) -> None:
        self._told.append(event_row(self._clock(), "checkpoint", data))
