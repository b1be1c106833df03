from __future__ import annotations

import pytest
from shop import Failed

from servers import fulfillment

SHIPMENT = {
    "order_id": "O-1",
    "items": [{"sku": "LAMP-01", "quantity": 2}],
    "address": {
        "line1": "Torstr. 12",
        "city": "Berlin",
        "postal_code": "10119",
        "country": "DE",
    },
}


async def test_a_shipment_gets_a_label_and_can_be_tracked(connect):
    async with connect(fulfillment.SERVER) as call:
        made = await call("create_shipment", **SHIPMENT)
        assert (await call("track_package", tracking_number=made["tracking_number"]))["status"] == "created"
        label = await call("generate_label", shipment_id=made["shipment_id"])
        assert await call("generate_label", shipment_id=made["shipment_id"]) == label
        assert (await call("track_package", tracking_number=made["tracking_number"]))["status"] == "labelled"


async def test_one_key_makes_one_shipment(connect, databases):
    async with connect(fulfillment.SERVER) as call:
        first = await call("create_shipment", **SHIPMENT, idempotency_key="k")
        assert await call("create_shipment", **SHIPMENT, idempotency_key="k") == first
        with pytest.raises(Failed, match="other arguments"):
            await call("create_shipment", **{**SHIPMENT, "order_id": "O-2"}, idempotency_key="k")
    assert databases(fulfillment.SERVER).row("SELECT count(*) FROM shipments")[0] == 1


async def test_an_order_status_changed_meanwhile_is_not_overwritten(connect):
    async with connect(fulfillment.SERVER) as call:
        assert (await call("update_order_status", order_id="O-1", status="paid"))["version"] == 1
        moved = {"order_id": "O-1", "status": "shipped"}
        assert (await call("update_order_status", **moved, expected_version=1))["version"] == 2
        assert (await call("update_order_status", **moved))["version"] == 2
        with pytest.raises(Failed, match=r"Order O-1 was changed meanwhile: it has version 2, you expected 1"):
            await call("update_order_status", order_id="O-1", status="cancelled", expected_version=1)


async def test_an_email_is_queued_and_cannot_carry_a_second_header(connect, databases):
    async with connect(fulfillment.SERVER) as call:
        mail = {"to": "ada@example.com", "body": "It is on its way."}
        assert (await call("send_email", **mail, subject="Your order"))["state"] == "queued"
        with pytest.raises(Failed, match="subject"):
            await call("send_email", **mail, subject="Your order\r\nBcc: all@example.com")
        with pytest.raises(Failed, match="to"):
            await call("send_email", **{**mail, "to": "a@example.com, b@example.com"}, subject="Your order")
    assert databases(fulfillment.SERVER).row("SELECT count(*) FROM outbox")[0] == 1


async def test_unknown_shipments_are_named(connect):
    async with connect(fulfillment.SERVER) as call:
        with pytest.raises(Failed, match="no shipment 'shp_none'"):
            await call("generate_label", shipment_id="shp_none")
        with pytest.raises(Failed, match="tracking number 'TRK-0'"):
            await call("track_package", tracking_number="TRK-0")
