"""Events of the log as reviewers search them: what may be asked, and a page of what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.admin.entrance import Stopped
from gateway.store import Store
from gateway.times import instant
from gateway.trail import Event, Wanted, newest, target

TEXTS = ("agent", "kind", "run", "reason", "call")
PARAMETERS = frozenset({*TEXTS, "tool", "since", "until", "before"})
PAGE = 50
_MOST_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Found:
    """A page of events, the newest first; `before` asks for the one after it, None when there is none."""

    events: list[Event]
    before: int | None


def wanted(query: Mapping[str, str], now: float) -> Wanted:
    """What a query means; empty parameters mean nothing. For `tool` see `gateway.trail.target`, for `since` and `until`
    `gateway.times.instant`. Raises Stopped.
    """
    given = {name: value.strip() for name, value in query.items() if value.strip()}
    server, tool = target(given.get("tool", ""))
    texts: dict[str, Any] = {name: given[name] for name in TEXTS if name in given}
    return Wanted(
        **texts,
        server=server,
        tool=tool,
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
    try:
        return instant(text, now)
    except ValueError as error:
        raise Stopped(422, name, f"{text[:40]!r} is no time for {name}: {error}.") from None


def _place(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:20]) > _MOST_SEQ or len(text) > 20:
        raise Stopped(422, "before", f"{text[:40]!r} is no place in the log: use what the page before said.")
    return int(text)
