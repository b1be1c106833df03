"""The journal of runs: what happened, entry by entry, durable before anything follows from it.

It is a SQLite file by default, and PostgreSQL by URL for runs that go on on another machine. Entries are only added; a
run is what its entries add up to.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS entries (run TEXT {bytewise} NOT NULL, seq INTEGER NOT NULL, "
    "at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (run, seq))",
    "CREATE TABLE IF NOT EXISTS drivers (run TEXT PRIMARY KEY, owner TEXT NOT NULL, until DOUBLE PRECISION NOT NULL)",
)
_PATIENCE = 10.0
_LOCK = 7_310_420
"""The advisory lock of PostgreSQL under which the tables are made: two that make them at once would collide."""


class Taken(Exception):
    """Somebody else drives this run, or wrote to it in between; the text says which run."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened in a run: the `seq`-th, from 1 on; `at` is in seconds since the epoch; `data` is JSON."""

    run: str
    seq: int
    at: float
    kind: str
    data: dict[str, Any]


class Journal:
    """Kept in `place`: a path, `:memory:`, or a `postgresql://` URL (which needs psycopg).

    All work is done in one thread of its own, so that a slow disk holds up no agent but those that wait for it. Opened
    by the first use. Raises sqlite3.Error or psycopg.Error.
    """

    def __init__(self, place: str | Path = ":memory:") -> None:
        self._place = str(place)
        self._postgresql = self._place.startswith("postgresql://")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agents-journal")
        self._connection: Any = None

    async def append(self, run: str, seq: int, kind: str, data: dict[str, Any]) -> Entry:
        """Durable when it returns. Raises Taken when the run has an entry of this number already."""
        entry = Entry(run, seq, time.time(), kind, data)
        values = (run, seq, entry.at, kind, json.dumps(data))
        added = await self._do(
            "INSERT INTO entries (run, seq, at, kind, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values
        )
        if added != 1:
            raise Taken(f"run {run} was continued by somebody else meanwhile")
        return entry

    async def read(self, run: str) -> list[Entry]:
        """All entries of a run, in order; none for one that never was."""
        rows = await self._ask("SELECT run, seq, at, kind, data FROM entries WHERE run = ? ORDER BY seq", (run,))
        return [_entry(row) for row in rows]

    async def runs(self, whole: str = "") -> list[str]:
        """The ids of all runs that are parts of this one, else of all there are, those that began first at first."""
        among = "AND run > ? AND run < ?" if whole else ""
        parts = (f"{whole}/", f"{whole}0") if whole else ()  # 0 is the character after the slash
        of = f"SELECT run FROM entries WHERE seq = 1 {among} ORDER BY at, run"
        return [row[0] for row in await self._ask(of, parts)]

    async def driven(self) -> set[str]:
        """The runs that some process drives now."""
        return {row[0] for row in await self._ask(f"SELECT run FROM drivers WHERE until >= {self._now()}", ())}

    async def drive(self, run: str, owner: str, seconds: float) -> bool:
        """Have this run to oneself for so long; again, to have it for longer. False when somebody else has it."""
        now = self._now()
        taken = await self._do(
            f"INSERT INTO drivers (run, owner, until) VALUES (?, ?, {now} + ?) "
            "ON CONFLICT (run) DO UPDATE SET owner = excluded.owner, until = excluded.until "
            f"WHERE drivers.owner = excluded.owner OR drivers.until < {now}",
            (run, owner, seconds),
        )
        return taken == 1

    async def release(self, run: str, owner: str = "") -> None:
        """Let others have it at once; without an owner, whoever has it."""
        await self._do("DELETE FROM drivers WHERE run = ? AND (owner = ? OR ? = '')", (run, owner, owner))

    async def close(self) -> None:
        await self._beside(self._close)
        self._thread.shutdown(wait=False)

    def _now(self) -> str:
        """One clock for all who share the journal: the server's, where there is one."""
        return "extract(epoch FROM clock_timestamp())" if self._postgresql else repr(time.time())

    async def _do(self, statement: str, values: Sequence[Any]) -> int:
        count: int = await self._beside(lambda: self._run(statement, values).rowcount)
        return count

    async def _ask(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = await self._beside(lambda: self._run(statement, values).fetchall())
        return rows

    async def _beside(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _run(self, statement: str, values: Sequence[Any]) -> Any:
        if self._connection is None:
            self._connection = self._open()
        return self._connection.execute(statement.replace("?", "%s") if self._postgresql else statement, values)

    def _open(self) -> Any:
        connection: Any
        if self._postgresql:
            import psycopg  # only who uses it needs it

            connection = psycopg.connect(self._place, autocommit=True)
            connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
        else:
            if self._place != ":memory:":
                Path(self._place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                Path(self._place).touch(mode=0o600)  # conversations may be personal
            connection = sqlite3.connect(self._place, timeout=_PATIENCE, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        bytewise = 'COLLATE "C"' if self._postgresql else ""
        for statement in SCHEMA:
            connection.execute(statement.format(bytewise=bytewise))
        if self._postgresql:
            connection.execute(f"SELECT pg_advisory_unlock({_LOCK})")
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _entry(row: Sequence[Any]) -> Entry:
    run, seq, at, kind, data = row
    return Entry(run, seq, at, kind, json.loads(data))
