"""Stories, searches and replays read the log alike on both kinds of database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from databases import Place
from sqlalchemy import insert

from gateway.admin.search import one, search, wanted
from gateway.events import EventRow, event_row, insert_events
from gateway.policy.replay import claims_of
from gateway.store import Store
from gateway.story import agents_of, story_json, tell
from gateway.tables import runs, tokens
from gateway.trail import Wanted, oldest

UNDO = "gateway.toml:servers.s.tools.t.compensate"


def event(at: float, kind: str, call: str = "", agent: str = "a", reason: str | None = None, **data: Any) -> EventRow:
    return event_row(at, kind, data, call=call, agent=agent, server="s", tool="t", run="r", reason=reason)


LOG = [
    event(
        10,
        "intent",
        "c1",
        rule="a.toml:allow[0]",
        token="t1",
        arguments={"n": 1},
        spends=[["budget/a/s/*/n/-/day", "0", 5]],
    ),
    event(11, "outcome", "c1", outcome="ok", ms=1000.0, result=None),
    event(
        12, "intent", "c2", rule="a.toml:allow[0]", token="t2", arguments={}, spends=[["limit/a/s/t/minute", "0", 1]]
    ),
    event(13, "outcome", "c2", reason="upstream_unreachable", outcome="failed", ms=3.0, result=None),
    event(14, "ticket", "c3", ticket="k", state="pending", deed="opened", gate="approval", arguments={"n": 2}),
    event(15, "ticket", "c4", ticket="l", state="pending", deed="opened", gate="approval", arguments={"n": 3}),
    event(24, "decision", "c3", ticket="k", state="rejected", reviewer="anna", verdict="reject", words="No."),
    event(25, "decision", "c4", ticket="l", state="approved", reviewer="ben", verdict="approve", words=""),
    event(26, "run", state="rolling_back", why="lease"),
    event(27, "intent", "c5", rule=UNDO, token="", key="undo/c1/1", arguments={}),
    event(28, "outcome", "c5", outcome="ok", ms=1.0, result=None),
    event(29, "refusal", "c6", agent="b", reason="denied", token="t1", arguments={}, detail="b.toml:deny[0]"),
]


@pytest.fixture
def store(database: Place) -> Iterator[Store]:
    store = database.open()
    row = {"agent": "a", "run": "r", "state": "rolled_back", "opened": 1, "touched": 1, "calls": 2, "why": "lease"}
    new = {"id": "t1", "agent": "a", "digest": "d", "created": 1.0, "claims": '{"level": 3}'}
    try:
        store.run(partial(insert_events, rows=LOG))
        store.run(lambda connection: connection.execute(insert(runs).values(**row)))
        store.run(lambda connection: connection.execute(insert(tokens), [new, {**new, "id": "t2", "claims": None}]))
        yield store
    finally:
        store.stop()


def test_a_story_tells_what_was_given_back_waited_for_and_undone(store: Store) -> None:
    story = tell(store, "a", "r")
    assert story is not None
    assert [each.kind for each in story.entries] == ["call", "call", "ticket", "ticket", "run", "call"]
    assert story.spent == {"budget/a/s/*/n/-/day": 5}  # the failed call gave back what it took
    assert story.waited == 11.0  # from 14 to 24 and from 15 to 25, which is not 20
    assert story.entries[0].by == "c5" and story.entries[5].undoes == "c1"
    assert (story.counts, story.state) == ({"ok": 1, "undone": 1, "failed": 1, "asked": 2}, "rolled_back")
    assert (story.lasted, story.tokens) == (17.001, ["t1", "t2"])
    told = story_json(story)
    assert told["entries"][2]["decisions"][0]["words"] == "No." and told["whole"]
    assert agents_of(store, "r") == ["a", "b"]


def test_a_story_of_too_many_events_says_so(store: Store) -> None:
    story = tell(store, "a", "r", most=4)
    assert story is not None and (len(story.entries), story.whole) == (2, False)
    assert tell(store, "a", "r", most=11) == tell(store, "a", "r")


def test_events_are_searched_by_all_that_is_given(store: Store) -> None:
    def calls(**query: str) -> list[str]:
        return [event.call for event in search(store, wanted(query, now=30.0)).events]

    assert calls(kind="intent") == ["c5", "c2", "c1"]
    assert calls(kind="intent", since="20s", until="1970-01-01T00:00:27") == ["c2", "c1"]
    assert calls(tool="s/t", reason="denied") == calls(agent="b") == calls(tool="t", agent="b") == ["c6"]
    assert calls(tool="x/") == calls(call="c9") == []
    first = one(store, 1)
    assert first is not None and first.call == "c1" and one(store, 10_000) is None


def test_what_a_replay_reads_is_there(store: Store) -> None:
    assert claims_of(store) == {"t1": {"level": 3}, "t2": {}}
    kinds = [event.kind for event in oldest(store, Wanted(kinds=("intent", "refusal")))]
    assert kinds == ["intent", "intent", "intent", "refusal"]
