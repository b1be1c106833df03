"""Whatever characters and lengths agents and people use, a call fails by them on neither database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from approvals_parts import Desk, call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from gateway.audit import short_name
from gateway.events import EventRow, event_row, insert_events

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)
"""What strict JSON lets in: all but lone surrogates, NUL among it."""
NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255).filter(str.isprintable)
"""Keys and runs, as they are let in."""


def kept(text: str) -> set[str]:
    """PostgreSQL has no NUL."""
    return {text, text.replace("\0", "\ufffd")}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reason=TEXT, words=TEXT, key=NAME, run=NAME, tool=TEXT)
def test_tickets_and_events_take_any_text(desk: Desk, reason: str, words: str, key: str, run: str, tool: str) -> None:
    made = replace(call(f"agent-{desk.clock.now}"), statement=reason, key=key, run=run)
    desk.clock.now += 1
    ticket = desk.open(made)
    desk.decide(ticket.id, verdict="reject", words=words)
    row = event_row(1.0, "refusal", {"arguments": {"text": tool}}, tool=short_name(tool), run=run)
    desk.store.run(partial(_insert, row=row))
    found = desk.get(ticket.id)
    assert found.reason in kept(reason) and found.decisions[-1].words == words
    assert (found.key, found.run) == (ticket.key, run)


def _insert(connection: Connection, row: EventRow) -> None:
    insert_events(connection, [row])
