"""What replicas tell each other, each part on its own: breakers that are adopted, leases that are followed, fences."""

from __future__ import annotations

import pytest
from databases import Place
from ledger_parts import Books, call

from gateway.call import Call, Result
from gateway.controls.breaker import Breaker
from gateway.controls.intent import Intent
from gateway.errors import CircuitOpen, Unrecorded
from gateway.metrics import Metrics
from gateway.runs.leases import Leases

KEY = ("ada", "r")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def works(made: Call) -> Result:
    return {"content": []}


async def test_a_breaker_opens_with_another_replica_and_probes_by_itself_after_its_cooldown() -> None:
    clock = Clock()
    breaker = Breaker(4, 2, 2.0, Metrics(), clock)
    breaker.adopt("shop", "open", True)
    with pytest.raises(CircuitOpen):
        await breaker(call("c1"), works)
    clock.now += 2.0
    await breaker(call("c2"), works)
    assert breaker.circuits["shop"].state == "closed"


async def test_a_breaker_that_was_open_when_the_replica_started_is_probed_at_once() -> None:
    breaker = Breaker(4, 2, 2.0, Metrics(), Clock())
    breaker.adopt("shop", "open", False)
    await breaker(call("c1"), works)
    assert breaker.circuits["shop"].state == "closed"


async def test_a_breaker_closes_with_another_replica_but_not_under_its_own_probe() -> None:
    breaker = Breaker(4, 2, 2.0, Metrics(), Clock())
    breaker.adopt("shop", "open", True)
    breaker.adopt("shop", "closed", True)
    await breaker(call("c1"), works)
    breaker.adopt("shop", "open", False)

    async def heard(made: Call) -> Result:
        breaker.adopt("shop", "open", True)
        assert breaker.circuits["shop"].state == "half-open"
        return {"content": []}

    await breaker(call("c2"), heard)
    assert breaker.circuits["shop"].state == "closed"


def test_a_lease_is_renewed_by_any_other_time_in_the_store_and_by_no_clock_of_others() -> None:
    clock = Clock()
    leases = Leases(clock, grace=1.0)
    leases.follow([(KEY, 10.0, 5000.0)])
    clock.now += 9
    leases.follow([(KEY, 10.0, 4000.0)])
    clock.now += 9
    leases.follow([(KEY, 10.0, 4000.0)])
    assert leases.overdue() == []
    clock.now += 2
    assert leases.overdue() == [(KEY, False)]


def test_a_run_that_has_no_lease_any_more_is_forgotten_and_one_with_another_has_it_in_full() -> None:
    clock = Clock()
    leases = Leases(clock, grace=1.0)
    leases.follow([(KEY, 10.0, 1.0), (("ada", "s"), 10.0, 1.0)])
    clock.now += 9
    leases.follow([(KEY, 30.0, 1.0)])
    assert leases.leases.keys() == {KEY} and leases.leased["ada"] == 1
    clock.now += 30
    assert leases.overdue() == []


def test_what_was_heard_of_is_told_once() -> None:
    leases = Leases(Clock())
    leases.follow([(KEY, 10.0, 1.0)])
    assert leases.heard() == []
    leases.renew(KEY)
    assert leases.heard() == [KEY]
    assert leases.heard() == []


async def test_a_replica_that_others_may_take_for_dead_sends_nothing(postgresql: Place) -> None:
    books = Books(postgresql)
    books.store.start()
    sent: list[Call] = []

    async def send(made: Call) -> Result:
        sent.append(made)
        return {"content": []}

    books.ledger.fenced = lambda: True
    with pytest.raises(Unrecorded, match="nothing was sent"):
        await Intent(books.ledger, Metrics())(call("c1", key="k"), send)
    books.ledger.fenced = lambda: False
    await Intent(books.ledger, Metrics())(call("c2", key="k"), send)
    assert [made.id for made in sent] == ["c2"]
    books.store.stop()
