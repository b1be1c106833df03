"""How the database looks for rows: calls wait for what is looked for in the store, so it must not read tables whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases import Place
from ledger_parts import Books, call
from sqlalchemy import Connection, event

from gateway.terms import Gate


@pytest.fixture
def database(tmp_path: Path) -> Place:
    """SQLite, which tells its plans; the indexes are the same on PostgreSQL."""
    return Place(tmp_path / "toolgate.db")


def plans(books: Books, work: Callable[[Connection], Any]) -> dict[str, list[str]]:
    """By statement, how the database goes about the reading in a piece of work."""
    found: dict[str, list[str]] = {}

    def look(connection: Connection, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "DELETE", "UPDATE")):
            driver: Any = connection.connection.driver_connection
            found[statement] = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", values)]

    event.listen(books.store.engine, "before_cursor_execute", look)
    try:
        books.store.run(work)
    finally:
        event.remove(books.store.engine, "before_cursor_execute", look)
    return found


async def test_sweeping_looks_at_runs_and_reservations_once_and_not_for_each_account(books: Books) -> None:
    steps = [step for plan in plans(books, books.ledger.sweep).values() for step in plan]
    assert any("accounts" in step for step in steps)
    assert not [step for step in steps if "CORRELATED" in step]


async def test_a_ticket_of_the_same_call_is_found_among_many_of_its_agent(books: Books) -> None:
    gated = replace(call("c1"), run="r")
    found = plans(
        books,
        lambda connection: books.ledger.approvals.open(connection, gated, Gate("approval", lambda arguments: True)),
    )
    (alike,) = [plan for statement, plan in found.items() if "tickets.fingerprint = ?" in statement]
    assert any("fingerprint=?" in step for step in alike)
