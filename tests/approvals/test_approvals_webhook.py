"""What people outside are told, through a real receiver: signed, in order, again and again, and never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from approvals_parts import TIERS, TWO, Clock, Desk, call, tool
from approvals_receiver import SECRET, Receiver
from databases import Place
from raw_client import eventually

from gateway.approvals.webhook import Courier
from gateway.metrics import Metrics

DAY = 86_400.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def telling(place: Place, clock: Clock, receiver: Receiver) -> Desk:
    webhook = {"url": receiver.url, "secret": SECRET}
    return Desk(place, clock, webhook=webhook, remind=900.0, console="https://tools.example.com/console/")


@contextlib.asynccontextmanager
async def running(desk: Desk, metrics: Metrics | None = None) -> AsyncIterator[None]:
    desk.store.start()
    task = asyncio.create_task(desk.approvals.run(metrics or Metrics()))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def sample(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("toolgate_notices_total", {"result": result}) or 0.0


async def test_a_notice_says_what_is_asked_and_is_signed(database: Place, clock: Clock, receiver: Receiver) -> None:
    with telling(database, clock, receiver) as desk:
        made = call(arguments={"card": "4111", "amount": 5}, definition=tool(secrets=frozenset({"card"})), run="r1")
        async with running(desk):
            ticket = desk.open(made)
            await eventually(lambda: receiver.messages, 5)
        (message,) = receiver.messages
        assert message["genuine"] and receiver.paths == ["/hook?for=toolgate"]
        assert message["headers"]["webhook-timestamp"] == str(int(clock.now))
        assert message["type"] == "ticket.opened" and "4111" not in str(message)
        data = message["data"]
        assert data["arguments"] == {"card": "[secret]", "amount": 5}
        assert (data["ticket"], data["agent"], data["server"], data["tool"]) == (ticket.id, "ada", "shop", "pay")
        assert (data["rule"], data["run"], data["state"]) == ("r1", "r1", "pending")
        assert data["link"] == f"https://tools.example.com/console/tickets/{ticket.id}"


async def test_a_ticket_is_told_of_in_order(database: Place, clock: Clock, receiver: Receiver) -> None:
    with telling(database, clock, receiver) as desk:
        ticket = desk.open(call(gate=TIERS), TIERS)
        async with running(desk):
            await eventually(lambda: receiver.types == ["ticket.opened"], 5)
            clock.now += 61
            await eventually(lambda: len(receiver.types) == 2, 5)
            clock.now = ticket.expires - 900
            await eventually(lambda: len(receiver.types) == 4, 5)
            desk.decide(ticket.id, "lead", "reject", words="no")
            await eventually(lambda: len(receiver.types) == 5, 5)
        expected = ["opened", "escalated", "escalated", "expiring", "decided"]
        assert receiver.types == [f"ticket.{each}" for each in expected]
        assert receiver.messages[1]["data"]["reviewers"] == ["deputy", "head", "lead"]
        assert receiver.messages[-1]["data"]["decisions"][0]["words"] == "no"
        assert len({message["headers"]["webhook-id"] for message in receiver.messages}) == 5


async def test_what_fails_is_tried_again_with_the_same_id_and_what_comes_later_waits(
    database: Place, clock: Clock, receiver: Receiver
) -> None:
    receiver.answers = [500, 302]
    metrics = Metrics()
    with telling(database, clock, receiver) as desk:
        ticket = desk.open(call(gate=TWO), TWO)
        desk.decide(ticket.id)
        async with running(desk, metrics):
            for tries in (1, 2):
                await eventually(lambda: sample(metrics, "failed") == tries, 5)  # noqa: B023
                assert set(receiver.types) == {"ticket.opened"}, "the decision waits for the opening"
                clock.now += 11
                desk.open(call(arguments={"amount": 1000 + tries}))  # something new has the outbox looked at
            await eventually(lambda: len(receiver.messages) == 6, 5)
        told = [message for message in receiver.messages if message["data"]["ticket"] == ticket.id]
        assert [message["type"] for message in told] == ["ticket.opened"] * 3 + ["ticket.decided"]
        assert [message["status"] for message in told] == [500, 302, 204, 204]
        assert len({message["headers"]["webhook-id"] for message in told[:3]}) == 1
        assert all(message["genuine"] for message in told) and "/elsewhere" not in receiver.paths
        assert sample(metrics, "delivered") == 4 and sample(metrics, "failed") == 2


async def test_what_was_not_delivered_outlives_a_restart(database: Place, clock: Clock, receiver: Receiver) -> None:
    with telling(database, clock, receiver) as desk:
        desk.open(call())
    with telling(database, clock, receiver) as desk:
        async with running(desk):
            await eventually(lambda: receiver.types == ["ticket.opened"], 5)
    with telling(database, clock, receiver) as desk:
        async with running(desk):
            desk.open(call(arguments={"amount": 1}))
            await eventually(lambda: len(receiver.types) == 2, 45)  # it may have looked just before
    assert len(receiver.messages) == 2, "delivered once is enough"


async def test_after_about_a_day_it_is_given_up_with_an_event(
    database: Place, clock: Clock, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [503] * 100
    metrics, begun = Metrics(), clock.now
    with telling(database, clock, receiver) as desk:
        desk.store.start()
        desk.open(call())
        webhook = desk.approvals.settings.webhook
        assert webhook is not None
        courier = Courier(desk.store, desk.book, metrics, draw=lambda: 1.0, breath=0.0)
        with caplog.at_level(logging.WARNING):
            while sample(metrics, "given_up") == 0:
                await courier.deliver(webhook)
                if sample(metrics, "given_up") == 0:
                    clock.now += 3600 if sample(metrics, "failed") > 10 else 2 ** sample(metrics, "failed") * 5
        assert DAY * 0.9 < clock.now - begun < DAY * 1.1
        (event,) = desk.events("notice")
        assert event["deed"] == "given_up" and "503" in event["problem"]
        assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
        tried = len(receiver.messages)
        await courier.deliver(webhook)
        assert len(receiver.messages) == tried


async def test_a_receiver_that_hangs_costs_nothing_else_anything(
    database: Place, clock: Clock, receiver: Receiver
) -> None:
    release = threading.Event()
    receiver.answers = [lambda: release.wait(30) and 204]
    with telling(database, clock, receiver) as desk:
        async with running(desk):
            ticket = desk.open(call())
            waiting = asyncio.create_task(desk.approvals.wait(ticket.id, 10))
            await eventually(lambda: not receiver.answers, 5)
            desk.decide(ticket.id)
            decided = await asyncio.wait_for(waiting, 1)
            assert decided is not None and decided.state == "approved"
            release.set()
            await eventually(lambda: receiver.types == ["ticket.opened", "ticket.decided"], 5)


async def test_without_a_webhook_nothing_is_kept_for_it(desk: Desk) -> None:
    desk.decide(desk.open(call()).id)
    async with running(desk):
        await desk.sweep()
    with desk.store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM notices").scalar_one() == 0
