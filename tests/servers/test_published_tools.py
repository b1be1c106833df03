"""What the servers publish: names, descriptions, schemas and hints."""

from __future__ import annotations

import pytest
from mcp import Client
from shop import Failed

from servers import PORTS, app, catalog, inventory, pricing
from servers.__main__ import SERVERS

TOOLS = {
    "catalog": {"lookup_product", "list_products", "validate_address"},
    "inventory": {"check_stock", "reserve_inventory", "release_reservation"},
    "pricing": {"get_base_price", "apply_promo_code", "calculate_tax", "calculate_shipping"},
    "payment": {"check_fraud_score", "charge_card", "refund_card"},
    "fulfillment": {
        "create_shipment",
        "generate_label",
        "send_email",
        "update_order_status",
        "track_package",
    },
    "customers": {"lookup_address", "update_address", "modify_account", "delete_customer_data"},
    "billing": {"check_balance", "apply_discount", "process_refund"},
    "records": {"search_orders", "get_order", "run_query"},
}
READ_ONLY = {
    *TOOLS["catalog"],
    *TOOLS["pricing"],
    *TOOLS["records"],
    "check_stock",
    "check_fraud_score",
    "track_package",
    "lookup_address",
    "check_balance",
}


def undescribed(schema, path=""):
    """Every property of a schema, also of the objects inside it, that says nothing about itself."""
    for scope in (schema, *schema.get("$defs", {}).values()):
        for name, value in scope.get("properties", {}).items():
            if not value.get("description"):
                yield f"{path}{name}"


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
async def test_every_tool_is_described_with_its_parameters_output_and_hints(server, databases):
    async with Client(app.build(server, databases(server))) as client:
        tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS[server.name]
    for tool in tools:
        assert tool.title and tool.description
        assert list(undescribed(tool.input_schema)) == []
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema["type"] == "object"
        hints = tool.annotations.model_dump(exclude={"title"})
        assert None not in hints.values()
        assert hints["read_only_hint"] == (tool.name in READ_ONLY)
        assert not (hints["read_only_hint"] and hints["destructive_hint"])


def test_every_server_has_its_own_default_port():
    assert list(PORTS) == [server.name for server in SERVERS]
    assert list(PORTS.values()) == list(range(9101, 9109))


async def test_a_misspelled_argument_is_refused_instead_of_ignored(connect):
    async with connect(inventory.SERVER) as call:
        with pytest.raises(Failed, match=r"qty\n +Extra inputs are not permitted"):
            await call("reserve_inventory", sku="LAMP-01", quantity=1, order_id="O-1", qty=2)


@pytest.mark.parametrize("quantity", [0, -1, 10_001, 2**70, True, "3", 1.5])
async def test_a_quantity_that_is_not_a_sensible_integer_is_refused(connect, quantity):
    async with connect(inventory.SERVER) as call:
        with pytest.raises(Failed, match="quantity"):
            await call("reserve_inventory", sku="LAMP-01", quantity=quantity, order_id="O-1")
        assert (await call("check_stock", sku="LAMP-01"))["version"] == 1


async def test_every_product_sold_has_stock_and_the_price_the_catalog_says(connect):
    async with (
        connect(catalog.SERVER) as products,
        connect(pricing.SERVER) as prices,
        connect(inventory.SERVER) as stock,
    ):
        sold = (await products("list_products"))["products"]
        assert {"LAMP-01", "DESK-02", "CHAIR-03", "MUG-04"} <= {product["sku"] for product in sold}
        for product in sold:
            price = await prices("get_base_price", sku=product["sku"], quantity=2)
            assert (price["unit_price"], price["currency"]) == (product["price"], product["currency"])
            assert price["subtotal"] == 2 * product["price"]
            assert (await stock("check_stock", sku=product["sku"]))["available"] > 0
