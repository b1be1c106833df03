from __future__ import annotations

import anyio
import pytest
from shop import Failed

from servers import inventory


async def test_a_reservation_takes_units_and_its_release_gives_them_back(connect):
    async with connect(inventory.SERVER) as call:
        before = await call("check_stock", sku="LAMP-01")
        held = await call("reserve_inventory", sku="LAMP-01", quantity=3, order_id="O-1")
        assert held["state"] == "held"
        after = await call("check_stock", sku="LAMP-01")
        assert (after["available"], after["version"]) == (before["available"] - 3, before["version"] + 1)
        release = await call("release_reservation", reservation_id=held["reservation_id"])
        assert (release["state"], release["already_released"]) == ("released", False)
        assert (await call("check_stock", sku="LAMP-01"))["available"] == before["available"]


async def test_releasing_twice_is_harmless_and_says_so(connect):
    async with connect(inventory.SERVER) as call:
        held = await call("reserve_inventory", sku="MUG-04", quantity=5, order_id="O-1")
        await call("release_reservation", reservation_id=held["reservation_id"])
        stock = await call("check_stock", sku="MUG-04")
        again = await call("release_reservation", reservation_id=held["reservation_id"])
        assert again["already_released"] is True
        assert await call("check_stock", sku="MUG-04") == stock


async def test_reserving_more_than_there_is_is_refused_with_what_is_left(connect):
    async with connect(inventory.SERVER) as call:
        with pytest.raises(Failed, match="Cannot reserve 13 of DESK-02: only 12 left; nothing was held"):
            await call("reserve_inventory", sku="DESK-02", quantity=13, order_id="O-1")
        assert (await call("check_stock", sku="DESK-02"))["available"] == 12


async def test_unknown_products_and_reservations_are_named(connect):
    async with connect(inventory.SERVER) as call:
        with pytest.raises(Failed, match="'NO-SUCH'"):
            await call("check_stock", sku="NO-SUCH")
        with pytest.raises(Failed, match="no reservation 'res_none'"):
            await call("release_reservation", reservation_id="res_none")


async def test_concurrent_reservations_never_sell_a_unit_twice(connect, databases):
    outcomes: list[bool] = []
    async with connect(inventory.SERVER) as call, anyio.create_task_group() as group:

        async def reserve() -> None:
            try:
                await call("reserve_inventory", sku="CHAIR-03", quantity=1, order_id="O-1")
                outcomes.append(True)
            except Failed as refused:
                outcomes.append(False)
                assert "only 0 left" in str(refused)

        for _ in range(60):
            group.start_soon(reserve)
    assert outcomes.count(True) == 25
    database = databases(inventory.SERVER)
    assert tuple(database.row("SELECT available, version FROM stock WHERE sku = 'CHAIR-03'")) == (0, 26)
    assert database.row("SELECT count(*) FROM reservations")[0] == 25


async def test_concurrent_releases_of_one_reservation_give_it_back_once(connect):
    releases: list[bool] = []
    async with connect(inventory.SERVER) as call:
        held = await call("reserve_inventory", sku="DESK-02", quantity=4, order_id="O-1")

        async def release() -> None:
            done = await call("release_reservation", reservation_id=held["reservation_id"])
            releases.append(done["already_released"])

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(release)
        assert releases.count(False) == 1
        assert (await call("check_stock", sku="DESK-02"))["available"] == 12
