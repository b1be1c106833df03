"""Reading the log of events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Row, Select, select

from gateway.store import Store
from gateway.tables import events
from gateway.times import exactly

_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the log, its `data` read. `seq` is its place in the log, `n` that in its chain (None before 0.2)."""

    seq: int
    at: float
    kind: str
    call: str
    agent: str
    server: str
    tool: str
    run: str | None
    reason: str | None
    data: dict[str, Any]
    chain: str | None
    n: int | None
    digest: str | None

    @classmethod
    def of_row(cls, row: Row[Any]) -> Event:
        return cls(**{**row._mapping, "data": orjson.loads(row.data)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events: those that are all of what is given here. Times are seconds since the epoch, `until` is outside.

    `tool` is a tool of `server`, or of any; `kinds` are several of which any will do; `n` is a place in `chain`; `seq`
    is one of them, `after` are those with a larger one, `before` those with a smaller one.
    """

    agent: str | None = None
    server: str | None = None
    tool: str | None = None
    run: str | None = None
    call: str | None = None
    kind: str | None = None
    kinds: tuple[str, ...] = ()
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    chain: str | None = None
    n: int | None = None
    seq: int | None = None
    after: int | None = None
    before: int | None = None

    def select(self) -> Select[Any]:
        of = select(events)
        for name in ("agent", "server", "tool", "run", "call", "kind", "reason", "chain", "n", "seq"):
            if (value := getattr(self, name)) is not None:
                of = of.where(events.c[name] == value)
        if self.kinds:
            of = of.where(events.c.kind.in_(self.kinds))
        if self.since is not None:
            of = of.where(events.c.at >= self.since)
        if self.until is not None:
            of = of.where(events.c.at < self.until)
        if self.before is not None:
            of = of.where(events.c.seq < self.before)
        return of if self.after is None else of.where(events.c.seq > self.after)


def newest(store: Store, wanted: Wanted, limit: int) -> list[Event]:
    """The last events that are wanted, the newest first."""
    return [Event.of_row(row) for row in store.read(wanted.select().order_by(events.c.seq.desc()).limit(limit))]


def oldest(store: Store, wanted: Wanted) -> Iterator[Event]:
    """All events that are wanted, the oldest first, read in pages."""
    of = wanted.select().order_by(events.c.seq).limit(_PAGE)
    last = -1 if wanted.after is None else wanted.after
    while True:
        rows = store.read(of.where(events.c.seq > last))
        yield from (Event.of_row(row) for row in rows)
        if len(rows) < _PAGE:
            return
        last = rows[-1].seq


def target(text: str) -> tuple[str | None, str | None]:
    """The server and tool that are meant by `SERVER/TOOL`, `SERVER/` (all of a server) or `TOOL` (of any server). For a
    resource its URI stands in place of the tool.
    """
    server, slash, name = text.partition("/")
    if not slash or ":" in server:  # no server's name has a colon
        server, name = "", text
    return server or None, name or None


def event_json(event: Event) -> dict[str, Any]:
    """An event for programs."""
    names = ("seq", "kind", "call", "agent", "server", "tool", "run", "reason", "data", "chain", "n", "digest")
    return {"at": exactly(event.at), **{name: getattr(event, name) for name in names}}
