"""Tokens that are not valid are counted by address, for a minute."""

from __future__ import annotations

from gateway.admin.entrance import Failures


def test_an_address_may_fail_ten_times_a_minute() -> None:
    now = 0.0
    failures = Failures(lambda: now)
    assert [failures.add("a") for _ in range(10)] == [0.0] * 10
    now = 20.0
    assert (failures.add("a"), failures.add("b")) == (40.0, 0.0)
    now = 60.0
    assert failures.add("a") == 0.0


def test_what_is_counted_is_bounded() -> None:
    failures = Failures(lambda: 0.0)
    for number in range(10_050):
        failures.add(str(number))
    assert len(failures.counts) == 10_000
    assert "49" not in failures.counts and "50" in failures.counts
