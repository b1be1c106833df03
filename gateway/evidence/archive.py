"""Old events, moved from the store to files of lines, so that what is left and what was moved still prove each other.

A file is written, made durable, read again and computed again; an `archived` event names it; only then are its events
dropped, a few at a time so that calls go on, and `anchors` say where each chain begins in the store. What was begun and
not ended is ended at the next look.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from gateway.chain import GENESIS, Head
from gateway.events import event_row, insert_events
from gateway.evidence.checkpoints import sync_folder
from gateway.evidence.lines import line_of, row_of
from gateway.evidence.rows import CHAIN, DIGEST, SEQ, N, Row, Rows
from gateway.evidence.walk import linked
from gateway.store import Store
from gateway.tables import anchors, events

log = logging.getLogger("toolgate.audit")

_FILE = 100_000
"""Events in one file."""
_READ = 2000
_DROPPED = 500
"""Events that one transaction drops: calls wait for it."""
_LEFT = 86400
"""Seconds after which half a file is what a crash left behind."""

Transact = Callable[[Callable[[Connection], None]], None]
"""Does a piece of work, whole, and returns when it is durable. Raises Unrecorded or SQLAlchemyError."""


class Broken(Exception):
    """What is to be archived is not what was written; `str()` says where. It stays where it is."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file of the archive: events `first` to `last` of `chain`; `previous` and `digest` are the digests of the event
    before the first, and of the last.
    """

    file: str
    chain: str
    first: int
    last: int
    previous: str
    digest: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """Moves events of `store` that are older than `keep` seconds to files in `folder`."""

    store: Store
    folder: Path
    keep: float
    clock: Callable[[], float]

    def look(self, transact: Transact) -> list[Written]:
        """Move what is old; the files that were written. Blocks. Raises Broken, OSError, and as `transact`."""
        for left in self.folder.glob(".*.part"):
            if time.time() - left.stat().st_mtime > _LEFT:
                left.unlink(missing_ok=True)
        with self.store.database.connect() as connection:
            chains, begun = Rows(connection).heads(), announced(connection)
        for chain, (n, _) in begun.items():
            self._drop(chain, n, transact)
        done: list[Written] = []
        for chain in chains:
            while (written := self._write(chain)) is not None:
                transact(partial(announce, written=written, at=self.clock()))
                log.info("%s holds events %d to %d of chain %s", written.file, written.first, written.last, chain)
                self._drop(chain, written.last, transact)
                done.append(written)
        return done

    def _write(self, chain: str) -> Written | None:
        """The next file of this chain; None when nothing is old enough. Never the last event of a chain."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self.folder / f".{quote(chain, safe='')}.{secrets.token_hex(4)}.part"
        try:
            return self._filled(chain, aside)
        finally:
            aside.unlink(missing_ok=True)

    def _filled(self, chain: str, aside: Path) -> Written | None:
        with self.store.database.connect() as connection:
            rows, start = Rows(connection), anchor(connection, chain)
            last, until, head = rows.heads()[chain].n - 1, self.clock() - self.keep, start
            with open(aside, "wb", opener=_private) as file:  # it alone takes an opener
                while head.n < min(last, start.n + _FILE):
                    page = rows.after(chain, head.n, min(_READ, last - head.n))
                    old = page[: next((place for place, row in enumerate(page) if row[0] >= until), len(page))]
                    head = _checked(head, old)
                    file.writelines(line_of(row) + b"\n" for row in old)
                    if not old or len(old) < len(page):
                        break
                file.flush()
                os.fsync(file.fileno())
        if head.n == start.n:
            return None
        sha256 = _read_again(aside, start, head)
        file_name = f"{quote(chain, safe='')}-{start.n + 1:012d}-{head.n:012d}.jsonl"
        aside.replace(self.folder / file_name)
        sync_folder(self.folder)
        return Written(file_name, chain, start.n + 1, head.n, start.digest, head.digest, sha256)

    def _drop(self, chain: str, until: int, transact: Transact) -> None:
        """Drop events of a chain up to the place `until`, which are in files, and end when none is left."""
        begins: list[int] = []
        while not begins or begins[-1] < until:
            transact(partial(_drop, chain=chain, until=until, at=self.clock(), begins=begins))


def announced(connection: Connection) -> dict[str, tuple[int, str]]:
    """By chain, up to where the newest `archived` event says that events are in files: the place and its digest."""
    newest = select(events.c.data).where(events.c.kind == "archived").order_by(events.c.seq.desc()).limit(1)
    data = connection.execute(newest).scalar_one_or_none()
    return {} if data is None else {chain: (n, digest) for chain, (n, digest) in orjson.loads(data)["anchors"].items()}


def anchor(connection: Connection, chain: str) -> Head:
    """The last event of a chain that is not in the store any more."""
    row = connection.execute(select(anchors).where(anchors.c.chain == chain)).one_or_none()
    return Head(0, GENESIS, 0) if row is None else Head(row.n, row.digest, 0)


def announce(connection: Connection, *, written: Written, at: float) -> None:
    """Write the event that names a file. It also says where all chains begin from now on, so that the newest one is
    all that has to be in the store to know that nothing else was dropped.
    """
    begins = {row.chain: [row.n, row.digest] for row in connection.execute(select(anchors))}
    data = {
        "file": written.file,
        "chain": written.chain,
        "first": written.first,
        "last": written.last,
        "previous": written.previous,
        "sha256": written.sha256,
        "anchors": {**begins, written.chain: [written.last, written.digest]},
    }
    insert_events(connection, [event_row(at, "archived", data)])


def _drop(connection: Connection, *, chain: str, until: int, at: float, begins: list[int]) -> None:
    """Drop the oldest events of a chain, not beyond `until`, and move its anchor; `begins` is told where to."""
    begin = anchor(connection, chain).n
    rows = Rows(connection).after(chain, begin, min(_DROPPED, until - begin)) if until > begin else []
    if not rows:
        begins.append(until)
        return
    connection.execute(delete(events).where(events.c.seq.in_([row[SEQ] for row in rows])))
    values = {"n": rows[-1][N], "digest": rows[-1][DIGEST], "at": at}
    if begin:
        connection.execute(update(anchors).where(anchors.c.chain == chain).values(**values))
    else:
        connection.execute(insert(anchors).values(chain=chain, **values))
    begins.append(rows[-1][N])


def _checked(head: Head, rows: Sequence[Row]) -> Head:
    after = linked(head, rows)
    if after.n != head.n + len(rows):
        raise Broken(f"the chain is broken at {rows[0][CHAIN]}/{after.n + 1}: nothing from there on is archived")
    return after


def _read_again(path: Path, start: Head, head: Head) -> str:
    """The SHA-256 of a file that was written; what is on the disk is what was meant to be. Raises Broken."""
    sha256, found = hashlib.sha256(), start
    with path.open("rb") as file:
        for line in file:
            sha256.update(line)
            try:
                found = linked(found, [row_of(line.rstrip(b"\n"))])
            except ValueError:
                break
    if found[:2] != head[:2]:
        raise Broken(f"{path.name} does not hold what was written to it from event {found.n + 1} on")
    return sha256.hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
