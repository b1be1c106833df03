from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from control_parts import OK, Below, Clock, begun, call, for_ever, sample

from gateway.controls.breaker import Breaker
from gateway.errors import Busy, CircuitOpen, Interrupted, Unreachable, UpstreamError
from gateway.metrics import Metrics


def breaker(clock: Clock, *, window: int = 4, failures: int = 2) -> Breaker:
    return Breaker(window, failures, 2.0, Metrics(), clock)


async def fail(control: Breaker, times: int, server: str = "shop") -> None:
    for _ in range(times):
        with pytest.raises(Unreachable):
            await control(call(server=server), Below([Unreachable("x")]))


def state(control: Breaker) -> float:
    return sample(control.metrics, "toolgate_breaker_state", server="shop")


async def test_it_opens_at_so_many_failures_and_then_sends_nothing() -> None:
    control, below = breaker(Clock()), Below()
    await fail(control, 2)
    with pytest.raises(CircuitOpen) as refused:
        await control(call(), below)
    assert refused.value.retry_after == pytest.approx(2.0)
    assert not below.calls and state(control) == 2


async def test_failures_that_left_the_window_no_longer_count() -> None:
    control = breaker(Clock())
    await fail(control, 1)
    for _ in range(4):
        await control(call(), Below())
    await fail(control, 1)
    assert await control(call(), Below()) == OK and state(control) == 0


@pytest.mark.parametrize("harmless", [UpstreamError(-32602, "no"), Busy("full"), {"isError": True, "content": []}])
async def test_an_answer_is_no_failure_and_neither_is_our_own_refusal(harmless: object) -> None:
    control = breaker(Clock())
    for _ in range(5):
        try:
            await control(call(), Below([harmless]))  # type: ignore[list-item]
        except (UpstreamError, Busy):
            continue
    assert await control(call(), Below()) == OK


async def test_after_its_rest_one_probe_goes_through_and_closes_it() -> None:
    clock = Clock()
    control = breaker(clock)
    await fail(control, 2)
    clock.now += 2.0
    gate, below = asyncio.Event(), Below()

    async def answered() -> dict[str, object]:
        await gate.wait()
        return OK

    below.script.append(answered)
    probe = asyncio.create_task(control(call(), below))
    await begun(below, 1)
    assert state(control) == 1
    with pytest.raises(CircuitOpen):
        await control(call(), below)
    gate.set()
    assert await probe == OK and state(control) == 0
    await fail(control, 1)
    assert await control(call(), below) == OK, "failures from before the rest still count"


async def test_a_probe_that_fails_opens_it_for_another_rest() -> None:
    clock = Clock()
    control = breaker(clock)
    await fail(control, 2)
    clock.now += 2.0
    await fail(control, 1)
    clock.now += 1.9
    with pytest.raises(CircuitOpen) as refused:
        await control(call(), Below())
    assert refused.value.retry_after == pytest.approx(0.1)
    clock.now += 0.1
    assert await control(call(), Below()) == OK


async def test_a_probe_whose_client_leaves_says_nothing_and_the_next_call_may_probe_at_once() -> None:
    clock = Clock()
    control, below = breaker(clock), Below([for_ever])
    await fail(control, 2)
    clock.now += 2.0
    probe = asyncio.create_task(control(call(), below))
    await begun(below, 1)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert state(control) == 2
    assert await control(call(), Below()) == OK and state(control) == 0


@pytest.mark.parametrize("abandoned", [UpstreamError(-32000, "no"), Busy("full"), ValueError("a defect")])
async def test_a_probe_never_leaves_it_half_open(abandoned: Exception) -> None:
    clock = Clock()
    control = breaker(clock)
    await fail(control, 2)
    clock.now += 2.0
    with pytest.raises(type(abandoned)):
        await control(call(), Below([abandoned]))
    assert await control(call(), Below()) == OK


async def test_a_time_out_is_a_failure_and_a_client_that_left_is_none() -> None:
    for expired, opens in ((True, True), (False, False)):
        control = breaker(Clock())
        for _ in range(2):
            await given_up(control, expired=expired)
        assert (state(control) == 2) is opens


async def given_up(control: Breaker, *, expired: bool) -> None:
    """A call that hangs until its deadline passes, or until its client leaves."""
    below = Below([for_ever])
    timer = asyncio.timeout(None)

    async def run() -> None:
        async with timer:
            await control(replace(call(), timer=timer), below)

    task = asyncio.create_task(run())
    await begun(below, 1)
    if expired:
        timer.reschedule(asyncio.get_running_loop().time())
    else:
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_calls_that_fail_while_it_is_open_do_not_prolong_its_rest() -> None:
    clock = Clock()
    control, gate = breaker(clock), asyncio.Event()

    async def late() -> dict[str, object]:
        await gate.wait()
        raise Interrupted("x")

    below = Below([late, late])
    running = [asyncio.create_task(control(call(), below)) for _ in range(2)]
    await begun(below, 2)
    await fail(control, 2)
    clock.now += 1.9
    gate.set()
    await asyncio.gather(*running, return_exceptions=True)
    clock.now += 0.1
    assert await control(call(), below) == OK and state(control) == 0


async def test_each_upstream_has_its_own() -> None:
    control = breaker(Clock())
    await fail(control, 2, server="down")
    assert await control(call(server="up"), Below()) == OK
