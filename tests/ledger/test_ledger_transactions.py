"""Begin and end are whole or not at all, whoever is in the same group and whatever fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from databases import Place
from ledger_parts import REPLY, Books, call, spend
from raw_client import eventually
from sqlalchemy import insert

from gateway.call import Call
from gateway.errors import BudgetExceeded, KeyConflict, RunClosed, TicketUnknown, Unrecorded
from gateway.events import event_row, insert_events
from gateway.ledger import Ledger
from gateway.tables import switches

TABLES = ("calls", "accounts", "reservations", "runs", "tickets", "events")


def everything(books: Books) -> dict[str, Any]:
    return {table: books.rows(table) for table in TABLES}


@pytest.mark.parametrize(
    ("made", "refusal"),
    [
        (call("c2", key="k1", arguments={"amount": 6}, spends=(spend(),)), KeyConflict),
        (call("c2", key="k2", ticket="T0", spends=(spend(),)), TicketUnknown),
        (call("c2", key="k2", spends=(spend(5), spend(1, 0, "limit"))), Exception),
        (call("c2", key="k2", run="over", spends=(spend(),)), RunClosed),
        (call("c2", key="k2", spends=(spend(6),)), BudgetExceeded),
    ],
)
async def test_whatever_refuses_nothing_of_the_whole_is_taken(
    books: Books, made: Call, refusal: type[Exception]
) -> None:
    await books.made(call("c1", key="k1", spends=(spend(),)))
    books.store.run(lambda connection: books.ledger.runs.mark(connection, "ada", "over", "finished"))
    before = everything(books)
    with pytest.raises(refusal):
        await books.ledger.begin(made)
    assert everything(books) == before


async def test_a_piece_of_work_that_raises_undoes_itself_alone_in_its_group(database: Place) -> None:
    sizes: list[int] = []
    store = database.open(lambda rows, seconds: sizes.append(rows))

    def works(name: str, error: Exception | None = None) -> Any:
        def work(connection: Any) -> str:
            connection.execute(insert(switches).values(agent=name, by="x", at=1.0))
            insert_events(connection, [event_row(1.0, "mode", {}, agent=name)])
            if error is not None:
                raise error
            return name

        return work

    waiting: list[Any] = [
        store.append(event_row(1.0, "intent", {}, call="first")),
        store.transact(works("a")),
        store.transact(works("b", KeyConflict("no"))),
        store.transact(works("c", ValueError("defect"))),
        store.transact(works("a")),  # the same primary key again
        store.transact(works("d")),
        store.append(event_row(1.0, "intent", {}, call="last")),
    ]
    store.start()
    first, a, b, c, again, d, last = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, a, d, last) == (None, "a", "d", None) and sizes == [7]
    assert isinstance(b, KeyConflict) and isinstance(c, ValueError) and "unique" in str(again).lower()
    store.stop()
    assert sorted(row["agent"] for row in database.rows("switches")) == ["a", "d"]
    assert [(row["agent"], row["call"]) for row in database.rows("events")] == [
        ("", "first"),
        ("a", ""),
        ("d", ""),
        ("", "last"),
    ]


async def test_a_group_that_cannot_be_committed_is_wholly_undone_and_everybody_hears_of_it(books: Books) -> None:
    with books.place.held():
        made = [call(f"c{number}", key=f"k{number}", spends=(spend(1),)) for number in range(3)]
        ended = await asyncio.gather(*(books.ledger.begin(each) for each in made), return_exceptions=True)
    assert [type(each) for each in ended] == [Unrecorded] * 3
    assert books.rows("calls") == [] and books.rows("accounts") == []
    await eventually(lambda: books.store.failed is None, 5)
    assert await books.ledger.begin(made[0]) is None


async def test_an_end_that_cannot_be_written_is_written_once_it_can_be(books: Books) -> None:
    ledger, made = books.ledger, call("c1", key="k1", spends=(spend(),))
    await ledger.begin(made)
    with books.place.held(), pytest.raises(Unrecorded):
        await books.end(made, "ok", REPLY)
    counts: list[int] = []
    keeping = asyncio.create_task(ledger.run(counts.append))
    await eventually(lambda: counts and [row["state"] for row in books.rows("calls")] == ["done"], 5)
    keeping.cancel()
    assert await ledger.begin(call("c2", key="k1")) == REPLY
    assert [event["outcome"] for event in books.told("outcome")] == ["ok"] and counts[0] == 0


async def test_an_end_that_was_written_changes_nothing_when_it_is_written_again(books: Books) -> None:
    made = call("c1", key="k1", spends=(spend(),))
    await books.ledger.begin(made)
    for outcome in ("ok", "failed", "unknown"):
        await books.end(made, outcome, REPLY)
    await books.end(call("never", key="k2", spends=(spend(),)), "failed")
    assert [event["outcome"] for event in books.told("outcome")] == ["ok"]
    assert books.totals() == {"budget/ada/pay": 5}


async def test_a_begin_nobody_waited_for_is_cleaned_up_behind_it(database: Place) -> None:
    books = Books(database)
    made = call("c1", key="k1", spends=(spend(),))
    begun = asyncio.ensure_future(books.ledger.begin(made))
    begun.cancel()
    ended = books.ledger.end(made, "failed", seconds=0.0, result=None, reason="cancelled")
    books.store.start()
    await ended
    assert books.rows("calls") == [] and books.totals() == {"budget/ada/pay": 0}
    assert [event["reason"] for event in books.told("outcome")] == ["cancelled"]
    books.store.stop()


async def test_what_another_process_left_open_becomes_unknown(books: Books) -> None:
    left = {
        "keyed": call("keyed", key="k1"),
        "spent": call("spent", idempotent=True, spends=(spend(),)),
        "plain": call("plain"),
        "again": call("again", idempotent=True),
        "harmless": call("harmless", idempotent=True, run="r1"),
    }
    for made in left.values():
        await books.ledger.begin(made)
    await books.made(call("whole", key="k2"))
    two = Books(books.place, "two")
    after: Ledger = two.ledger
    assert sorted(after.recover()) == sorted(left)
    assert sorted(each.call for each in after.unknown()) == ["keyed", "plain", "spent"]
    assert {event["call"]: event["outcome"] for event in books.told("outcome")} == {
        **dict.fromkeys(left, "unknown"),
        "whole": "ok",
    }
    assert after.recover() == [] and books.totals() == {"budget/ada/pay": 5}
    assert [each["call"] for each in books.rows("reservations")] == ["spent"]
    two.store.stop()


async def test_an_amount_beyond_32_bits_is_kept_whole(books: Books) -> None:
    await books.made(call("c1", spends=(spend(2**62, 2**63 - 1),)))
    assert books.totals() == {"budget/ada/pay": 2**62}


async def test_an_outcome_that_the_driver_could_not_write_is_written_later(books: Books) -> None:
    made = call("c1", key="k1", spends=(spend(),))
    await books.ledger.begin(made)
    books.place.execute("ALTER TABLE events RENAME TO away")
    with pytest.raises(Unrecorded):
        await books.end(made, "ok", REPLY)
    books.place.execute("ALTER TABLE away RENAME TO events")
    task = asyncio.create_task(books.ledger.run(lambda count: None))
    try:
        await eventually(lambda: [row["state"] for row in books.rows("calls")] == ["done"], 5)
    finally:
        task.cancel()
    assert [event["outcome"] for event in books.told("outcome")] == ["ok"] and books.rows("reservations") == []
