from __future__ import annotations

import anyio
import pytest
from mcp import Client
from shop import KEYS, Failed, dialled, tell

from servers import app
from servers import payment as payment_server
from servers.database import Database

CHARGE = {"card_token": "tok_visa", "amount": 4900, "currency": "USD", "order_id": "O-1"}


def charges(databases):
    return databases(payment_server.SERVER).row("SELECT count(*) FROM charges")[0]


async def test_the_same_key_and_arguments_give_the_stored_result(connect, databases):
    async with connect(payment_server.SERVER) as call:
        first = await call("charge_card", **CHARGE, idempotency_key="k")
        assert await call("charge_card", **CHARGE, idempotency_key="k") == first
    assert charges(databases) == 1


async def test_the_same_key_with_other_arguments_is_an_error(connect, databases):
    async with connect(payment_server.SERVER) as call:
        await call("charge_card", **CHARGE, idempotency_key="k")
        with pytest.raises(Failed, match="'k' was already used for charge_card with other arguments"):
            await call("charge_card", **{**CHARGE, "amount": 4901}, idempotency_key="k")
    assert charges(databases) == 1


async def test_the_key_may_come_with_the_request_and_the_argument_wins_over_it(connect, databases):
    meta = {"toolgate/key": "run-1/call-1"}
    async with connect(payment_server.SERVER) as call:
        first = await call("charge_card", meta=meta, **CHARGE)
        assert await call("charge_card", meta=meta, **CHARGE) == first
        assert await call("charge_card", **CHARGE, idempotency_key="run-1/call-1") == first
        assert await call("charge_card", meta=meta, **CHARGE, idempotency_key="other") != first
        with pytest.raises(Failed, match="must be a text of 1 to 200 characters"):
            await call("charge_card", meta={"toolgate/key": 7}, **CHARGE)
    assert charges(databases) == 2


async def test_without_a_key_every_charge_counts(connect, databases):
    async with connect(payment_server.SERVER) as call:
        assert await call("charge_card", **CHARGE) != await call("charge_card", **CHARGE)
    assert charges(databases) == 2


async def test_a_hundred_concurrent_charges_with_one_key_charge_once(connect, databases):
    answers: set[str] = set()
    async with connect(payment_server.SERVER) as call, anyio.create_task_group() as group:

        async def charge() -> None:
            answers.add((await call("charge_card", **CHARGE, idempotency_key="k"))["charge_id"])

        for _ in range(100):
            group.start_soon(charge)
    assert len(answers) == charges(databases) == 1


async def test_two_processes_on_one_file_charge_once_for_one_key(payment, payment_file):
    answers: list[str] = []
    ours = Database(payment_file, payment_server.SCHEMA)
    async with (
        dialled(payment.url("payment"), KEYS["PAYMENT_KEY"]) as theirs,
        Client(app.build(payment_server.SERVER, ours)) as here,
        anyio.create_task_group() as group,
    ):

        async def charge(client: Client) -> None:
            answers.append((await tell(client)("charge_card", **CHARGE, idempotency_key="k"))["charge_id"])

        for _ in range(10):
            group.start_soon(charge, theirs)
            group.start_soon(charge, here)
    assert len(answers) == 20
    assert len(set(answers)) == ours.row("SELECT count(*) FROM charges")[0] == 1
    ours.close()


async def test_a_declined_card_is_an_error_that_charges_nothing_and_frees_its_key(connect, databases):
    async with connect(payment_server.SERVER) as call:
        with pytest.raises(Failed, match="declined: insufficient funds"):
            await call("charge_card", **{**CHARGE, "card_token": "tok_declined"}, idempotency_key="k")
        assert charges(databases) == 0
        assert (await call("charge_card", **CHARGE, idempotency_key="k"))["status"] == "succeeded"


async def test_an_unknown_card_is_named(connect):
    async with connect(payment_server.SERVER) as call:
        with pytest.raises(Failed, match="no card 'tok_none'"):
            await call("charge_card", **{**CHARGE, "card_token": "tok_none"})


async def test_refunds_together_cannot_exceed_the_charge(connect):
    async with connect(payment_server.SERVER) as call:
        charge = (await call("charge_card", **CHARGE))["charge_id"]
        refund = {"charge_id": charge, "reason": "damaged"}
        assert (await call("refund_card", **refund, amount=4000))["refundable"] == 900
        with pytest.raises(Failed, match=r"Cannot refund 901: only 900 of chg_.* is left"):
            await call("refund_card", **refund, amount=901)
        assert (await call("refund_card", **refund, amount=900))["refundable"] == 0


async def test_a_repeated_refund_gets_its_first_answer_also_when_nothing_is_left(connect, databases):
    async with connect(payment_server.SERVER) as call:
        charge = (await call("charge_card", **CHARGE))["charge_id"]
        refund = {"charge_id": charge, "amount": 4900, "reason": "returned", "idempotency_key": "r"}
        assert await call("refund_card", **refund) == await call("refund_card", **refund)
    refunded = databases(payment_server.SERVER).row("SELECT refunded, version FROM charges")
    assert tuple(refunded) == (4900, 2)


@pytest.mark.parametrize(
    ("card", "amount", "decision"),
    [
        ("tok_visa", 4900, "approve"),
        ("tok_mastercard", 200_000, "approve"),
        ("tok_fraud", 100, "reject"),
    ],
)
async def test_the_fraud_score_leads_to_a_decision(connect, card, amount, decision):
    async with connect(payment_server.SERVER) as call:
        score = await call("check_fraud_score", order_id="O-1", card_token=card, amount=amount)
        assert score["decision"] == decision
        assert (score["score"] >= 80) == (decision == "reject")
