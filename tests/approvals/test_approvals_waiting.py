"""Who waits for a ticket hears of the decision, wherever it was made, and costs next to nothing meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from approvals_parts import APPROVAL, TWO, Clock, Desk, call
from raw_client import eventually

from gateway.approvals import Ticket
from gateway.metrics import Metrics

HERE = Path(__file__).parent


@contextlib.asynccontextmanager
async def running(desk: Desk, metrics: Metrics | None = None) -> AsyncIterator[None]:
    desk.store.start()
    task = asyncio.create_task(desk.approvals.run(metrics or Metrics()))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def waiting(desk: Desk, ticket: str, seconds: float = 10) -> asyncio.Task[Ticket | None]:
    return asyncio.create_task(desk.approvals.wait(ticket, seconds))


async def test_a_decision_of_this_process_is_heard_at_once(desk: Desk) -> None:
    async with running(desk):
        ticket = desk.open(call())
        heard = waiting(desk, ticket.id)
        await asyncio.sleep(0.05)
        begun = time.perf_counter()
        decide = partial(desk.approvals.decide, ticket=ticket.id, reviewer="rita", verdict="approve")
        done = await desk.store.transact(decide)
        assert await heard == done
        took = time.perf_counter() - begun
        print(f"\nheard after {took * 1000:.1f} ms")
        assert took < 2, "milliseconds, on a machine that is not busy"


async def test_a_decision_of_another_process_is_heard_soon(desk: Desk) -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
        "from pathlib import Path\nimport time\nfrom approvals_parts import Clock, Desk\n"
        "from databases import Place\n"
        f"with Desk(Place(Path({str(desk.place.path)!r}), {desk.place.url!r}), Clock()) as desk:\n"
        "    for ticket in sys.argv[1:]:\n"
        "        desk.decide(ticket)\n        print(time.time(), flush=True)\n        sys.stdin.readline()\n"
    )
    async with running(desk):
        made = [desk.open(call(arguments={"amount": amount})).id for amount in range(5)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, *made, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin and process.stdout
        delays = []
        for ticket in made:
            heard = waiting(desk, ticket, 30)
            decided = float(await process.stdout.readline())
            assert await heard is not None
            delays.append(time.time() - decided)
            process.stdin.write(b"\n")
        await process.communicate()
    print(f"\nheard after at most {max(delays) * 1000:.0f} ms")
    assert max(delays) < 2, "a tenth of a second, on a machine that is not busy"


async def test_waiting_ends_with_its_time_and_the_ticket_stays(desk: Desk) -> None:
    async with running(desk):
        ticket = desk.open(call())
        assert await desk.approvals.wait(ticket.id, 0.05) is None
        assert await desk.approvals.wait("nosuchticket", 5) is None
        assert desk.get(ticket.id).state == "pending"
        desk.decide(ticket.id)
        done = await desk.approvals.wait(ticket.id, 5)
        assert done is not None and done.state == "approved", "decided before anyone waited"


async def test_a_decision_before_the_gateway_follows_changes_is_not_missed(desk: Desk) -> None:
    ticket = desk.open(call())
    heard = waiting(desk, ticket.id)
    await asyncio.sleep(0.05)
    desk.decide(ticket.id)
    async with running(desk):
        assert await heard == desk.get(ticket.id)


async def test_one_of_two_approvals_does_not_end_the_wait(desk: Desk) -> None:
    async with running(desk):
        ticket = desk.open(call(gate=TWO), TWO)
        heard = waiting(desk, ticket.id)
        desk.decide(ticket.id, "rita")
        assert not (await asyncio.wait([heard], timeout=0.3))[0]
        desk.decide(ticket.id, "rob")
        assert await heard == desk.get(ticket.id)


async def test_a_ticket_that_expires_ends_the_wait(desk: Desk, clock: Clock) -> None:
    async with running(desk):
        ticket = desk.open(call())
        heard = waiting(desk, ticket.id)
        await asyncio.sleep(0)
        clock.now += 3600
        ended = await heard
        assert ended is not None and (ended.state, ended.why) == ("expired", "time")


async def test_watchers_hear_of_every_change_until_they_end_it(desk: Desk) -> None:
    told: list[tuple[str, str]] = []

    def fails(ticket: Ticket) -> None:
        raise ValueError("not its business")

    async with running(desk):
        await asyncio.sleep(0.05)
        desk.approvals.watch(fails)
        end = desk.approvals.watch(lambda ticket: told.append((ticket.id, ticket.state)))
        ticket = desk.open(call())
        await eventually(lambda: told == [(ticket.id, "pending")], 5)
        desk.decide(ticket.id)
        await eventually(lambda: told[1:] == [(ticket.id, "approved")], 5)
        end()
        desk.withdraw(desk.open(call(arguments={"amount": 1})).id)
        await asyncio.sleep(0.6)
        assert len(told) == 2


async def test_a_thousand_that_wait_cost_next_to_nothing(desk: Desk) -> None:
    gated = [call(f"agent-{amount % 10}", arguments={"amount": amount}) for amount in range(1000)]
    opening = desk.approvals.open
    made = desk.store.run(lambda connection: [opening(connection, each, APPROVAL).id for each in gated])
    async with running(desk):
        heard = [waiting(desk, ticket, 60) for ticket in made]
        await asyncio.sleep(3)  # each has had its own look by then
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        await asyncio.sleep(2)
        after, took = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begun
        share = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / took
        print(f"\n1,000 waiting: {share:.2%} of a core")
        assert share < 0.1, "under one percent, on a machine that is not busy"
        for ticket in made[:10]:
            desk.decide(ticket)
        assert all(await asyncio.gather(*heard[:10]))
        for task in heard[10:]:
            task.cancel()
        await asyncio.wait(heard)


async def test_tickets_are_counted(desk: Desk, clock: Clock) -> None:
    before = desk.open(call(arguments={"amount": 0}))
    metrics = Metrics()

    def sample(name: str, **labels: str) -> float:
        return metrics.registry.get_sample_value(name, labels) or 0.0

    async with running(desk, metrics):
        await eventually(lambda: sample("toolgate_tickets", kind="approval", state="pending") == 1, 5)
        await asyncio.sleep(0.05)
        second = desk.open(call(gate=TWO), TWO)
        clock.now += 10
        desk.decide(before.id, verdict="reject")
        desk.decide(second.id, "rita")
        desk.decide(second.id, "rob", arguments={"amount": 1})
        desk.decide(second.id, "rita")
        await eventually(lambda: sample("toolgate_tickets", kind="approval", state="approved") == 1, 5)
        assert sample("toolgate_tickets", kind="approval", state="pending") == 0
        for verdict, count in (("approve", 2), ("edit", 1), ("reject", 1)):
            assert sample("toolgate_decisions_total", verdict=verdict) == count
        assert sample("toolgate_ticket_wait_seconds_count") == 2 and sample("toolgate_ticket_wait_seconds_sum") == 20
