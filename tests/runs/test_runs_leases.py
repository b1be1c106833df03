"""How long a run may be silent, by a clock that nobody sets."""

from __future__ import annotations

import pytest
from runs_parts import Clock, call, leased

from gateway.errors import InvalidArguments, Throttled
from gateway.runs.leases import GRACE, Leases

RUN = ("a", "r")


def leases() -> tuple[Leases, Clock]:
    clock = Clock(0.0)
    return Leases(clock), clock


def test_a_run_is_overdue_once_it_was_silent_for_its_lease() -> None:
    known, clock = leases()
    with known.during(leased(call(1), 30)):
        pass
    clock.now = 30 + GRACE - 0.1
    assert known.overdue() == []
    clock.now = 30 + GRACE
    assert known.overdue() == [(RUN, False)]


def test_every_call_of_the_run_renews_it_those_that_only_read_too() -> None:
    known, clock = leases()
    with known.during(leased(call(1), 30)):
        pass
    clock.now = 29
    with known.during(call(2, read_only=True)):
        pass
    clock.now = 50
    assert known.overdue() == []
    clock.now = 60 + GRACE
    assert known.overdue() == [(RUN, False)]


def test_a_run_with_a_call_under_way_is_never_overdue_and_has_a_full_lease_after_it() -> None:
    known, clock = leases()
    with known.during(leased(call(1), 30)):
        clock.now = 1000
        assert known.overdue() == []
    assert known.overdue() == []
    clock.now = 1030 + GRACE
    assert known.overdue() == [(RUN, False)]


def test_only_calls_that_may_change_something_keep_a_run_from_being_undone() -> None:
    known, _ = leases()
    with known.during(call(1, read_only=True)):
        assert (known.calls[RUN], known.changing[RUN]) == (1, 0)
        with known.during(call(2)):
            assert (known.calls[RUN], known.changing[RUN]) == (2, 1)
    assert not known.calls and not known.changing


def test_no_lease_means_never() -> None:
    known, clock = leases()
    with known.during(leased(call(1), 30)), known.during(leased(call(2), 0)):
        pass
    clock.now = 1e9
    assert known.overdue() == []


def test_a_lease_without_a_run_is_refused() -> None:
    known, _ = leases()
    with pytest.raises(InvalidArguments, match="names none"), known.during(leased(call(1, run=None), 30)):
        pass
    assert not known.leases


def test_a_run_that_a_ticket_held_says_so_when_it_is_overdue_again() -> None:
    known, clock = leases()
    with known.during(leased(call(1), 2)):
        pass
    clock.now = 100
    known.hold(RUN)
    assert known.overdue() == []
    clock.now = 120
    assert known.overdue() == [(RUN, True)]
    known.renew(RUN)
    clock.now = 122 + GRACE
    assert known.overdue() == [(RUN, False)]


def test_an_agent_has_a_bounded_number_of_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runs.leases._MOST", 2)
    known, _ = leases()
    for number in (1, 2, 2):
        with known.during(leased(call(number, run=f"r{number}"), 30)):
            pass
    with pytest.raises(Throttled, match="2 runs with a lease"), known.during(leased(call(3, run="r3"), 30)):
        raise AssertionError
    with known.during(call(3, run="r3")), known.during(leased(call(4, agent="b"), 30)):
        pass
    known.forget(("a", "r1"))
    with known.during(leased(call(3, run="r3"), 30)):
        pass
    assert known.leased == {"a": 2, "b": 1} and not known.calls
