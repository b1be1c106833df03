"""Reserve, commit, release, keep: what stands in the accounts after every way a call can go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ledger_parts import NOON, REPLY, Books, call, spend

from gateway.errors import BudgetExceeded, LimitExceeded, Refused
from gateway.tables import accounts

BOTH = (spend(), spend(1, 3, "limit"))


async def refused(books: Books, made: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await books.ledger.begin(made)
    assert "Nothing was run" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("outcome", "budget", "limit"),
    [("ok", 5, 1), ("tool_error", 0, 1), ("failed", 0, 0), ("input_required", 0, 0), ("unknown", 5, 1)],
)
@pytest.mark.parametrize("key", ["k1", None])
@pytest.mark.parametrize("idempotent", [True, False])
async def test_what_is_taken_is_kept_or_given_back_by_outcome(
    books: Books, outcome: str, budget: int, limit: int, key: str | None, idempotent: bool
) -> None:
    made = call("c1", spends=BOTH, key=key, idempotent=idempotent)
    await books.ledger.begin(made)
    assert books.totals() == {"budget/ada/pay": 5, "limit/ada/pay": 1}
    await books.end(made, outcome, REPLY)
    assert books.totals() == {"budget/ada/pay": budget, "limit/ada/pay": limit}
    held = 2 if outcome == "unknown" else 0
    assert len(books.rows("reservations")) == held and len(books.ledger.unknown()) == held // 2


async def test_a_refusal_says_what_is_left_and_when_to_try_again(books: Books) -> None:
    await books.made(call("c1", spends=(spend(7),)))
    over = await refused(books, call("c2", spends=(spend(4),)))
    assert isinstance(over, BudgetExceeded) and over.retry_after == 60
    assert "has 3 left" in str(over) and "takes 4" in str(over) and "60 seconds" in str(over)
    never = await refused(books, call("c3", spends=(spend(11),)))
    assert never.retry_after is None and "more than the whole budget" in str(never)
    await books.made(call("c4", spends=(spend(3),)))
    empty = await refused(books, call("c5", spends=(replace(spend(1), ends=None),)))
    assert "0 left" in str(empty) and "this run can spend no more" in str(empty)
    assert books.totals() == {"budget/ada/pay": 10} and books.rows("reservations") == []


async def test_a_limit_counts_calls_and_begins_anew_with_its_window(books: Books) -> None:
    for number in range(3):
        await books.made(call(f"c{number}", spends=(spend(1, 3, "limit"),)))
    books.clock.now += 45.5
    over = await refused(books, call("c4", spends=(spend(1, 3, "limit"),)))
    assert isinstance(over, LimitExceeded) and over.retry_after == 14.5
    await books.made(call("c5", spends=(replace(spend(1, 3, "limit"), window="next"),)))
    assert sorted(row["total"] for row in books.rows("accounts")) == [1, 3]


async def test_a_maximum_that_was_lowered_leaves_less_than_nothing(books: Books) -> None:
    await books.made(call("c1", spends=(spend(9, 10),)))
    assert "0 left" in str(await refused(books, call("c2", spends=(spend(1, 5),))))


async def test_what_a_reviewer_finds_commits_or_releases(books: Books) -> None:
    for name in ("yes", "no"):
        made = call(name, spends=(spend(),), key=name)
        await books.ledger.begin(made)
        await books.end(made, "unknown")
    (first, second) = books.ledger.unknown()
    assert (first.call, first.key, first.held, first.shown) == ("no", "no", (("budget/ada/pay", 5),), '{"amount":5}')
    assert books.settle("yes", "happened") and books.settle("no", "did_not")
    assert not books.settle("yes", "did_not") and not books.settle("absent", "happened")
    assert books.totals() == {"budget/ada/pay": 5} and books.rows("reservations") == []
    answer = await books.ledger.begin(call("again", key="yes"))
    assert answer is not None and "took effect" in answer["content"][0]["text"]
    assert await books.ledger.begin(call("anew", key="no")) is None
    assert [(event["call"], event["verdict"], event["by"]) for event in books.told("settled")] == [
        ("yes", "happened", "grace"),
        ("no", "did_not", "grace"),
    ]
    assert second.call == "yes"


async def test_the_intent_says_what_was_taken(books: Books) -> None:
    await books.made(call("c1", spends=BOTH))
    (intent,) = books.told("intent")
    assert intent["spends"] == [["budget/ada/pay", "w", 5], ["limit/ada/pay", "w", 1]] and intent["once"] is True


async def test_old_replies_and_sums_are_swept_and_what_is_held_stays(books: Books) -> None:
    await books.made(call("old", key="old", spends=(spend(),)))
    held = call("held", key="held", spends=(replace(spend(), window="held"),))
    await books.ledger.begin(held)
    await books.end(held, "unknown")
    books.clock.now += 3 * 86_400
    await books.made(call("new", key="new"))
    assert books.store.run(books.ledger.sweep) is False
    assert [row["id"] for row in books.rows("calls")] == ["held", "new"]
    assert [row["window"] for row in books.rows("accounts")] == ["held"]
    many = [{"account": f"a{number}", "window": "w", "total": 1, "at": NOON} for number in range(600)]
    books.store.run(lambda connection: connection.execute(accounts.insert().values(many)))
    assert [books.store.run(books.ledger.sweep) for _ in range(2)] == [True, False]


async def test_sums_of_seconds_are_not_kept_for_days(books: Books) -> None:
    for period in ("second", "minute"):
        limit = replace(spend(1, 3, "limit"), account=f"limit/ada/shop/pay/{period}")
        await books.made(call(period, spends=(limit,)))
    books.clock.now += 60
    books.store.run(books.ledger.sweep)
    assert len(books.rows("accounts")) == 2, "a clock that is set back a little must not find a window empty"
    books.clock.now += 600
    books.store.run(books.ledger.sweep)
    assert list(books.totals()) == ["limit/ada/shop/pay/minute"]
