"""What was decided so far, by tool and by how sure the agent said it was."""

from __future__ import annotations

import pytest
from approvals_parts import Clock, Desk, call, presenting, tool

from gateway.approvals.history import band, decided_since
from gateway.terms import Gate

SURE = Gate("confidence", lambda arguments: True, threshold=0.95)


def decided(desk: Desk, clock: Clock, amount: int, seconds: float, **how: object) -> str:
    """A ticket that is decided after so many seconds."""
    confidence = how.pop("confidence", 0.5)
    ticket = desk.open(call(gate=SURE, arguments={"amount": amount}, confidence=confidence), SURE)
    clock.now += seconds
    desk.decide(ticket.id, **how)  # type: ignore[arg-type]
    return ticket.id


def test_shares_and_waiting_times_stand_by_tool_and_band(desk: Desk, clock: Clock) -> None:
    for number in range(9):
        decided(desk, clock, number, 10 * (number + 1))
    decided(desk, clock, 90, 1000, arguments={"amount": 1})
    decided(desk, clock, 91, 5, verdict="reject", confidence=0.85)
    desk.open(call(definition=tool(), tool="refund"))
    (half, sure) = desk.approvals.history()
    assert (half.server, half.tool, half.band) == ("shop", "pay", "0.4-0.6")
    assert (half.approved, half.edited, half.rejected, half.expired) == (9, 1, 0, 0)
    assert (half.wait_p50, half.wait_p90, half.wait_max) == (50, 90, 1000)
    assert (sure.band, sure.rejected, sure.wait_max) == ("0.8-1", 1, 5)


def test_what_does_not_count_is_not_even_read(desk: Desk, clock: Clock) -> None:
    desk.withdraw(desk.open(call(arguments={"amount": 3})).id)
    desk.open(call(arguments={"amount": 4}))
    decided(desk, clock, 1, 1)
    assert len(desk.store.read(decided_since(0.0))) == 1


async def test_what_became_of_an_approval_does_not_matter_and_only_time_expires(desk: Desk, clock: Clock) -> None:
    used = desk.get(decided(desk, clock, 1, 1))
    desk.consume(presenting(used, call()))
    decided(desk, clock, 2, 1)  # nobody comes for it
    desk.open(call(arguments={"amount": 3}, confidence=0.5))  # nobody decides
    desk.withdraw(desk.open(call(arguments={"amount": 4}, confidence=0.5)).id)
    clock.now += 86_400
    desk.store.start()
    await desk.sweep()
    (share,) = desk.approvals.history()
    assert (share.approved, share.expired) == (2, 1)
    assert desk.approvals.history(since=clock.now) == []


@pytest.mark.parametrize(
    ("confidence", "name"),
    [(None, "none"), (0.0, "0-0.2"), (0.2, "0.2-0.4"), (0.59, "0.4-0.6"), (0.6, "0.6-0.8"), (1.0, "0.8-1")],
)
def test_bands(confidence: float | None, name: str) -> None:
    assert band(confidence) == name
