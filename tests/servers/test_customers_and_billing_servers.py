from __future__ import annotations

import anyio
import pytest
from shop import Failed

from servers import billing, customers

ADDRESS = {"line1": "1 Main St", "city": "Austin", "region": "TX", "postal_code": "73301", "country": "US"}


async def test_an_address_changed_meanwhile_is_not_overwritten(connect):
    async with connect(customers.SERVER) as call:
        read = await call("lookup_address", customer_id="CUS-1001")
        assert (read["address"]["city"], read["version"]) == ("San Francisco", 1)
        new = {"customer_id": "CUS-1001", "address": ADDRESS, "expected_version": 1}
        assert await call("update_address", **new) == {**read, "address": ADDRESS, "version": 2}
        with pytest.raises(Failed, match="Customer CUS-1001 was changed meanwhile: it has version 2"):
            await call("update_address", **new)


async def test_only_the_given_details_of_an_account_change(connect):
    async with connect(customers.SERVER) as call:
        account = await call("modify_account", customer_id="CUS-1001", email="countess@example.com")
        assert (account["email"], account["newsletter"], account["version"]) == ("countess@example.com", True, 2)
        assert (await call("modify_account", customer_id="CUS-1001", newsletter=False))["newsletter"] is False
        with pytest.raises(Failed, match="Nothing to change"):
            await call("modify_account", customer_id="CUS-1001")


async def test_erased_data_is_gone_and_erasing_twice_is_harmless(connect, databases):
    async with connect(customers.SERVER) as call:
        assert (await call("delete_customer_data", customer_id="CUS-1002"))["already_erased"] is False
        assert (await call("delete_customer_data", customer_id="CUS-1002"))["already_erased"] is True
        with pytest.raises(Failed, match="CUS-1002 was erased"):
            await call("lookup_address", customer_id="CUS-1002")
        with pytest.raises(Failed, match="no customer 'CUS-9'"):
            await call("delete_customer_data", customer_id="CUS-9")
    row = dict(databases(customers.SERVER).row("SELECT * FROM customers WHERE id = 'CUS-1002'"))
    kept = {name for name, value in row.items() if value}
    assert kept == {"id", "erased", "version"}


async def test_a_discount_cannot_exceed_what_is_owed(connect):
    async with connect(billing.SERVER) as call:
        entry = await call("apply_discount", customer_id="CUS-1001", amount=900, reason="late")
        assert (entry["balance"]["due"], entry["balance"]["version"]) == (4000, 2)
        with pytest.raises(Failed, match="owes only 4000"):
            await call("apply_discount", customer_id="CUS-1001", amount=4001, reason="late")


async def test_concurrent_discounts_are_all_counted(connect):
    async with connect(billing.SERVER) as call:
        async with anyio.create_task_group() as group:
            for _ in range(30):
                discount = {"customer_id": "CUS-1003", "amount": 100, "reason": "goodwill"}
                group.start_soon(lambda given=discount: call("apply_discount", **given))
        balance = await call("check_balance", customer_id="CUS-1003")
        assert (balance["due"], balance["version"]) == (36_900, 31)


async def test_refunds_cannot_exceed_what_was_paid_and_one_key_refunds_once(connect):
    async with connect(billing.SERVER) as call:
        refund = {"customer_id": "CUS-1002", "amount": 18_000, "reason": "returned", "idempotency_key": "r"}
        first = await call("process_refund", **refund)
        assert first["balance"]["refundable"] == 900
        assert await call("process_refund", **refund) == first
        with pytest.raises(Failed, match="only 900 of what CUS-1002 paid is left"):
            await call("process_refund", **{**refund, "amount": 901, "idempotency_key": "s"})
        with pytest.raises(Failed, match="'CUS-9' has no account"):
            await call("check_balance", customer_id="CUS-9")
