from __future__ import annotations

import asyncio

import pytest
from control_parts import OK, Below, Clock, begun, call, for_ever

from gateway.controls.bulkhead import Bulkhead
from gateway.controls.throttle import Throttle
from gateway.errors import Busy, Throttled, Unreachable


async def test_a_burst_passes_and_the_next_call_is_told_how_long_to_wait() -> None:
    clock = Clock()
    throttle, below = Throttle(8, 3, clock), Below()
    for _ in range(3):
        assert await throttle(call(), below) == OK
    with pytest.raises(Throttled) as refused:
        await throttle(call(), below)
    assert refused.value.retry_after == pytest.approx(0.125)
    clock.now += 0.125
    assert await throttle(call(), below) == OK
    with pytest.raises(Throttled):
        await throttle(call(), below)
    assert len(below.calls) == 4


async def test_rest_refills_no_more_than_the_burst() -> None:
    clock = Clock()
    throttle, below = Throttle(8, 3, clock), Below()
    await throttle(call(), below)
    clock.now += 3600
    for _ in range(3):
        await throttle(call(), below)
    with pytest.raises(Throttled):
        await throttle(call(), below)


async def test_refused_calls_do_not_push_the_next_permission_further_away() -> None:
    clock = Clock()
    throttle = Throttle(1, 1, clock)
    await throttle(call(), Below())
    for _ in range(10):
        clock.now += 0.05
        with pytest.raises(Throttled):
            await throttle(call(), Below())
    clock.now += 0.6
    assert await throttle(call(), Below()) == OK


async def test_one_agent_does_not_use_up_what_another_may() -> None:
    throttle = Throttle(1, 1, Clock())
    await throttle(call("ada"), Below())
    assert await throttle(call("bob"), Below()) == OK


async def test_an_agents_own_rate_counts_with_a_burst_of_twice_as_many() -> None:
    clock, rates = Clock(), {"ada": 5.0, "eve": 0.1}
    throttle = Throttle(1, 1, clock, rates.get)
    for _ in range(10):
        await throttle(call("ada"), Below())
    with pytest.raises(Throttled, match="5 a second") as refused:
        await throttle(call("ada"), Below())
    assert refused.value.retry_after == pytest.approx(0.2)
    await throttle(call("eve"), Below())
    with pytest.raises(Throttled, match="6 a minute") as refused:
        await throttle(call("eve"), Below())
    assert refused.value.retry_after == pytest.approx(10)
    await throttle(call("bob"), Below())
    with pytest.raises(Throttled, match="1 a second"):
        await throttle(call("bob"), Below())
    rates["ada"] = 0.5
    clock.now += 60
    await throttle(call("ada"), Below())
    with pytest.raises(Throttled, match="30 a minute"):
        await throttle(call("ada"), Below())


async def test_a_full_bulkhead_refuses_at_once_and_only_for_its_own_upstream() -> None:
    bulkhead, below = Bulkhead({"shop": 2, "other": 1}.__getitem__), Below([for_ever, for_ever])
    inside = [asyncio.create_task(bulkhead(call(), below)) for _ in range(2)]
    await begun(below, 2)
    with pytest.raises(Busy) as refused:
        await bulkhead(call(), below)
    assert refused.value.retry_after
    assert await bulkhead(call(server="other"), below) == OK
    for task in inside:
        task.cancel()
    await asyncio.gather(*inside, return_exceptions=True)
    assert await bulkhead(call(), below) == OK


async def test_a_call_that_fails_leaves_its_place() -> None:
    bulkhead = Bulkhead(lambda server: 1)
    for _ in range(3):
        with pytest.raises(Unreachable):
            await bulkhead(call(), Below([Unreachable("down")]))
    assert await bulkhead(call(), Below()) == OK
