from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from control_parts import OK, Below, call, sample

from gateway.controls.retry import Retry
from gateway.errors import (
    Busy,
    CircuitOpen,
    DeadlineExceeded,
    Garbled,
    Interrupted,
    Refused,
    Unreachable,
    UpstreamError,
)
from gateway.metrics import Metrics


@dataclass
class Waits:
    """Notes how long a retry would have waited."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def retry(waits: Waits, *, draw: float = 1.0, budget: float = 0.1, attempts: int = 3) -> Retry:
    return Retry(attempts, 0.05, 2.0, budget, Metrics(), lambda: draw, waits)


@pytest.mark.parametrize("failed", [Unreachable("x"), Interrupted("x"), Garbled("x")])
async def test_a_transient_failure_of_an_idempotent_tool_is_tried_again(failed: Refused) -> None:
    control, below = retry(Waits()), Below([failed])
    assert await control(call(idempotent=True), below) == OK
    assert len(below.calls) == 2
    assert sample(control.metrics, "toolgate_retries_total", server="shop") == 1


@pytest.mark.parametrize("failed", [Unreachable("x"), Interrupted("x")])
async def test_a_tool_that_is_not_declared_idempotent_runs_once(failed: Refused) -> None:
    for made in (call(), replace(call(idempotent=True), definition=None)):
        below = Below([failed])
        with pytest.raises(type(failed)):
            await retry(Waits())(made, below)
        assert len(below.calls) == 1


@pytest.mark.parametrize(
    "failed", [UpstreamError(-32602, "no"), DeadlineExceeded("x"), CircuitOpen("x"), ValueError("a defect")]
)
async def test_what_would_fail_again_is_not_tried_again(failed: Exception) -> None:
    below = Below([failed])
    with pytest.raises(type(failed)):
        await retry(Waits())(call(idempotent=True), below)
    assert len(below.calls) == 1


async def test_reading_a_resource_may_be_repeated() -> None:
    below = Below([Interrupted("x")])
    assert await retry(Waits())(call(action="read", definition=None), below) == OK


async def test_attempts_are_counted_in_all() -> None:
    below = Below([Unreachable("x") for _ in range(5)])
    with pytest.raises(Unreachable):
        await retry(Waits())(call(idempotent=True), below)
    assert len(below.calls) == 3


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
async def test_waits_are_a_random_share_of_a_bound_that_doubles_up_to_the_cap(draw: float) -> None:
    waits = Waits()
    with pytest.raises(Unreachable):
        await retry(waits, draw=draw, attempts=9)(call(idempotent=True), Below([Unreachable("x") for _ in range(9)]))
    bounds = [min(2.0, 0.05 * 2**n) for n in range(8)]
    assert waits.seconds == pytest.approx([draw * bound for bound in bounds])


async def test_an_outage_sees_few_more_attempts_than_calls() -> None:
    control, below = retry(Waits()), Below([Unreachable("x") for _ in range(10_000)])
    for _ in range(1000):
        with pytest.raises(Unreachable):
            await control(call(idempotent=True), below)
    assert 1000 * 1.1 <= len(below.calls) <= 1000 * 1.1 + 10


async def test_the_retry_budget_of_one_upstream_is_not_spent_by_another() -> None:
    control = retry(Waits(), budget=0)
    for _ in range(20):
        with pytest.raises(Unreachable):
            await control(call(server="down", idempotent=True), Below([Unreachable("x") for _ in range(3)]))
    assert await control(call(server="up", idempotent=True), Below([Unreachable("x")])) == OK


@pytest.mark.parametrize("later", [CircuitOpen("x"), Unreachable("x"), Busy("x")])
async def test_a_later_attempt_that_sent_nothing_does_not_undo_what_an_earlier_one_may_have_done(
    later: Refused,
) -> None:
    first = Interrupted("x")
    with pytest.raises(Interrupted) as raised:
        await retry(Waits(), attempts=2)(call(idempotent=True), Below([first, later]))
    assert raised.value is first and raised.value.ran is None


async def test_of_attempts_that_all_sent_nothing_the_last_is_told() -> None:
    last = CircuitOpen("x")
    with pytest.raises(CircuitOpen) as raised:
        await retry(Waits())(call(idempotent=True), Below([Unreachable("x"), last]))
    assert raised.value is last and raised.value.ran is False
