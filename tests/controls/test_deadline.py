from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from control_parts import OK, Below, call, for_ever, sample

from gateway.call import Call, Result
from gateway.controls.breaker import Breaker
from gateway.controls.deadline import Deadline
from gateway.errors import CircuitOpen, DeadlineExceeded
from gateway.metrics import Metrics
from gateway.order import chain


class Hasty(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer whenever nothing else is to do: hours pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]  # no public way to know
        due = min((timer.when() for timer in scheduled if not timer.cancelled()), default=None)
        if not ready and due is not None:
            self.skipped += max(0.0, due - self.time())
        super()._run_once()  # type: ignore[misc]  # see above


def hastily(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Hasty) as runner:
        runner.run(work())


async def seconds_until_given_up(made: Call, deadline: Deadline) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(DeadlineExceeded) as exceeded:
        await deadline(made, Below([for_ever]))
    assert exceeded.value.ran is None
    return loop.time() - begun


@pytest.mark.parametrize(
    ("wanted", "of_tool", "expected"),
    [
        (None, None, 30),
        (None, 5.0, 5),
        (2, None, 2),
        (2, 5.0, 2),
        (99, 5.0, 5),
        (0, None, 30),
        (-1, None, 30),
        ("2", None, 30),
        (True, None, 30),
    ],
)
def test_the_deadline_is_the_tools_or_the_servers_or_the_callers_where_that_is_shorter(
    wanted: object, of_tool: float | None, expected: float
) -> None:
    async def work() -> None:
        made = call(timeout=of_tool, meta={} if wanted is None else {"toolgate/timeout": wanted})
        assert await seconds_until_given_up(made, Deadline(lambda server: 30.0)) == pytest.approx(expected, abs=0.1)

    hastily(work)


class Slow:
    """A client that takes an hour to answer."""

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        return None

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        await asyncio.sleep(3600)
        return {"action": "accept"}


def test_time_in_which_the_client_is_asked_does_not_count_but_all_other_time_does() -> None:
    async def asking(made: Call) -> Result:
        await asyncio.sleep(6)
        await made.peer.ask("elicitation/create", {})
        await asyncio.sleep(3)
        return OK

    async def asking_too_long(made: Call) -> Result:
        await asking(made)
        return await for_ever()

    async def work() -> None:
        loop, deadline = asyncio.get_running_loop(), Deadline(lambda server: 10.0)
        assert await deadline(call(peer=Slow()), asking) == OK
        begun = loop.time()
        with pytest.raises(DeadlineExceeded):
            await deadline(call(peer=Slow()), asking_too_long)
        assert loop.time() - begun == pytest.approx(3610, abs=0.2)

    hastily(work)


def test_two_questions_at_once_pause_it_until_both_are_answered() -> None:
    async def asking(made: Call) -> Result:
        await asyncio.sleep(6)
        async with asyncio.TaskGroup() as group:
            group.create_task(made.peer.ask("elicitation/create", {}))
            await asyncio.sleep(60)
            group.create_task(made.peer.ask("elicitation/create", {}))
        await asyncio.sleep(3)
        return OK

    async def work() -> None:
        assert await Deadline(lambda server: 10.0)(call(peer=Slow()), asking) == OK

    hastily(work)


def test_a_client_that_leaves_is_no_time_out() -> None:
    async def work() -> None:
        task = asyncio.create_task(Deadline(lambda server: 30.0)(call(), Below([for_ever])))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    hastily(work)


def test_a_caller_in_a_hurry_says_nothing_of_the_upstream_and_the_operators_limit_does() -> None:
    breaker = Breaker(4, 2, 1000.0, Metrics())
    below = Below([for_ever for _ in range(12)])
    run = chain([Deadline(lambda server: 30.0), breaker], below)

    async def give_up(made: Call) -> None:
        with pytest.raises(DeadlineExceeded):
            await run(made)

    async def work() -> None:
        for _ in range(10):
            await give_up(call(meta={"toolgate/timeout": 0.5}))
        assert all(made.timer is None for made in below.calls) and len(below.calls) == 10
        assert sample(breaker.metrics, "toolgate_breaker_state", server="shop") == 0
        for _ in range(2):
            await give_up(call(meta={"toolgate/timeout": 31}))
        with pytest.raises(CircuitOpen):
            await run(call())

    hastily(work)


def test_a_time_out_of_something_below_is_not_taken_for_the_deadline() -> None:
    raised = TimeoutError("of something else")

    async def work() -> None:
        with pytest.raises(TimeoutError) as caught:
            await Deadline(lambda server: 30.0)(call(), Below([raised]))
        assert caught.value is raised

    hastily(work)
