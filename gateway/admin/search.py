"""Events of the log as reviewers search them: what may be asked, and a page of what is found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.admin.entrance import Stopped
from gateway.store import Store
from gateway.times import exactly
from gateway.trail import Event, Wanted, newest

TEXTS = ("agent", "kind", "run", "reason", "call")
PARAMETERS = frozenset({*TEXTS, "tool", "since", "until", "before"})
PAGE = 50
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
_MOST_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events, the newest first; `before` asks for the one after it, None when there is none."""

    events: list[Event]
    before: int | None


def wanted(query: Mapping[str, str], now: float) -> Wanted:
    """What a query means; empty parameters mean nothing. `tool` is `server/tool`, `server/` or a tool's name of any
    server; `since` and `until` are ISO 8601, in UTC where nothing else is said, or a span back from now such as `7d`.
    Raises Stopped.
    """
    given = {name: value.strip() for name, value in query.items() if value.strip()}
    server, slash, tool = given.get("tool", "").partition("/")
    if not slash:
        server, tool = "", server
    texts: dict[str, Any] = {name: given[name] for name in TEXTS if name in given}
    return Wanted(
        **texts,
        server=server or None,
        tool=tool or None,
        since=_moment(given, "since", now),
        until=_moment(given, "until", now),
        before=_place(given.get("before")),
    )


def search(store: Store, wanted: Wanted) -> Found:
    """A page of the events that are wanted."""
    found = newest(store, wanted, PAGE + 1)
    return Found(found[:PAGE], found[PAGE - 1].seq if len(found) > PAGE else None)


def one(store: Store, seq: int) -> Event | None:
    """The event at this place of the log."""
    return next(iter(newest(store, Wanted(seq=seq), 1)), None)


def _moment(given: Mapping[str, str], name: str, now: float) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    if span := _SPAN.fullmatch(text):
        return now - int(span[1]) * _UNITS[span[2]]
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        fix = "write a span such as 2h or 7d, or a time such as 2026-11-30T13:00"
        raise Stopped(422, name, f"{text[:40]!r} is no time for {name}: {fix}.") from None


def _place(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:20]) > _MOST_SEQ or len(text) > 20:
        raise Stopped(422, "before", f"{text[:40]!r} is no place in the log: use what the page before said.")
    return int(text)


def event_json(event: Event) -> dict[str, Any]:
    """An event as the API tells it, and `toolgate audit` too."""
    names = ("seq", "kind", "call", "agent", "server", "tool", "run", "reason", "data", "chain", "n", "digest")
    return {"at": exactly(event.at), **{name: getattr(event, name) for name in names}}
