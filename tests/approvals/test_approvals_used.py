"""An approval is used once, whoever comes for it and however often: gate, ledger and tickets together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from approvals_parts import Clock, Desk, Visible, call, presenting, tool
from databases import Place
from raw_client import eventually
from sqlalchemy import delete

from gateway.approvals import Ticket
from gateway.call import PENDING, Call, Result
from gateway.catalog import Catalog
from gateway.confidence import heard
from gateway.controls.dedupe import Dedupe
from gateway.controls.gate import Gate
from gateway.controls.intent import Intent
from gateway.errors import Interrupted, OutcomeUnknown, TicketUsed, Unreachable
from gateway.ledger import Ledger
from gateway.mcp_face.waiting import Waiting
from gateway.metrics import Metrics
from gateway.order import chain
from gateway.runs import Runs
from gateway.tables import calls

PAID: Result = {"content": [{"type": "text", "text": "paid"}]}


class Shop:
    """Controls from dedupe to intent, and a tool that answers, or raises, what it is told to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.sent: list[Call] = []
        self.script: list[Result | BaseException] = []
        approvals, metrics = desk.approvals, Metrics()
        store, vault = desk.store, desk.book.vault
        runs = Runs(store, vault, desk.clock)
        ledger = Ledger(store, desk.audit, vault, approvals, runs, "here", 604_800.0, desk.clock)
        policy: Callable[[], Any] = lambda: Visible(True)  # noqa: E731
        self.run = chain([Dedupe(metrics), Gate(approvals, policy), Intent(ledger, metrics)], self._send)
        desk.store.start()

    async def _send(self, made: Call) -> Result:
        self.sent.append(made)
        await asyncio.sleep(0.02)
        step = self.script.pop(0) if self.script else PAID
        if isinstance(step, BaseException):
            raise step
        return step

    async def approved(self, made: Call) -> Ticket:
        result = await self.run(made)
        return self.desk.decide(result["_meta"]["toolgate/pending"])


@pytest.fixture
def shop(desk: Desk) -> Shop:
    return Shop(desk)


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_hundred_that_come_for_one_approval_get_one_execution(shop: Shop, key: str | None) -> None:
    ticket = await shop.approved(call(key=key))
    comers = [presenting(ticket, call(), id=f"c{number}") for number in range(100)]
    answers = await asyncio.gather(*(shop.run(each) for each in comers))
    assert answers == [PAID] * 100 and len(shop.sent) == 1
    assert shop.desk.get(ticket.id).state == "consumed"


async def test_whoever_comes_later_gets_the_reply_that_is_kept_even_under_another_policy(shop: Shop) -> None:
    ticket = await shop.approved(call())
    assert await shop.run(presenting(ticket, call())) == PAID
    for later in (call(), call(grant="g2"), call(definition=tool("Pays differently."))):
        assert await shop.run(presenting(ticket, later, id="c9")) == PAID
    shop.desk.store.run(lambda connection: connection.execute(delete(calls)))
    with pytest.raises(TicketUsed):
        await shop.run(presenting(ticket, call(), id="c10"))
    assert len(shop.sent) == 1


@pytest.mark.parametrize("first", [Unreachable("down"), {"resultType": "input_required"}], ids=["failed", "asked"])
async def test_a_call_without_effect_leaves_its_approval(shop: Shop, first: Any) -> None:
    ticket = await shop.approved(call())
    shop.script = [first]
    if isinstance(first, BaseException):
        with pytest.raises(Unreachable):
            await shop.run(presenting(ticket, call()))
    else:
        assert await shop.run(presenting(ticket, call())) == first
    assert shop.desk.get(ticket.id).state == "approved"
    assert await shop.run(presenting(ticket, call(), id="c9")) == PAID


async def test_a_call_that_may_have_run_is_not_sent_again(shop: Shop) -> None:
    ticket = await shop.approved(call())
    shop.script = [Interrupted("lost")]
    with pytest.raises(Interrupted):
        await shop.run(presenting(ticket, call()))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await shop.run(presenting(ticket, call(), id="c9"))
    assert len(shop.sent) == 1 and shop.desk.get(ticket.id).state == "consumed"


async def test_expiry_races_with_use_for_one_execution_or_none(shop: Shop, clock: Clock) -> None:
    ran = 0
    for number in range(20):
        made = call(arguments={"amount": number})
        ticket = await shop.approved(made)
        clock.now = ticket.expires - 1
        coming = asyncio.create_task(shop.run(presenting(ticket, made, id=f"c{number}")))
        for _ in range(number % 10):
            await asyncio.sleep(0)
        clock.now = ticket.expires
        await asyncio.gather(coming, shop.desk.sweep(), return_exceptions=True)
        state = shop.desk.get(ticket.id).state
        assert state == ("consumed" if coming.exception() is None else "expired")
        ran += state == "consumed"
    assert len(shop.sent) == ran


@pytest.mark.parametrize("tool_name", ["pay", "await_approval"])
async def test_who_comes_for_a_call_cannot_be_surer_of_it_than_reviewers_were_told(desk: Desk, tool_name: str) -> None:
    ticket = desk.open(call(confidence=0.3, statement="a guess"))
    redeemed: list[Call] = []

    async def run(made: Call) -> Result:
        redeemed.append(made)
        return PAID

    waiting = Waiting(run, desk.approvals, desk.approvals.settings, Catalog(["shop"]), lambda principal: True)
    surer = {"toolgate/confidence": 1.0, "toolgate/reason": "sure", "progressToken": 1}
    await waiting.redeem(call(tool=tool_name, confidence=1.0, meta=surer), desk.decide(ticket.id))
    (made,) = redeemed
    assert heard(made, ()).confidence == 0.3
    assert made.ticket == ticket.id and made.meta == {"progressToken": 1}


async def test_an_agent_cannot_have_any_number_of_requests_held(database: Place, clock: Clock) -> None:
    with Desk(database, clock, pending=2, hold=60.0) as desk:
        answer: Result = {"content": [], "_meta": {PENDING: desk.open(call()).id}}

        async def run(made: Call) -> Result:
            return answer

        waiting = Waiting(run, desk.approvals, desk.approvals.settings, Catalog(["shop"]), lambda principal: True)
        held = [asyncio.ensure_future(waiting(call(id=f"c{number}"))) for number in range(2)]
        await eventually(lambda: len(waiting.held) == 2, 5)
        assert await asyncio.wait_for(waiting(call(id="c3")), 5) == answer
        assert not any(each.done() for each in held)
        waiting.close()
        assert await asyncio.gather(*held) == [answer] * 2 and not +waiting.holding
