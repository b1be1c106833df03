from __future__ import annotations

from datetime import date

import pytest
from shop import Failed

from servers import catalog, pricing


async def test_a_product_no_longer_sold_is_found_but_not_listed(connect):
    async with connect(catalog.SERVER) as call:
        assert (await call("lookup_product", sku="CLOCK-05"))["in_catalog"] is False
        listed = (await call("list_products"))["products"]
        assert "CLOCK-05" not in {product["sku"] for product in listed}


async def test_an_unknown_product_is_an_error_that_names_it_and_the_way_out(connect):
    async with connect(catalog.SERVER) as call:
        with pytest.raises(Failed, match=r"no product with the code 'LAMP-99'.*list_products"):
            await call("lookup_product", sku="LAMP-99")


async def test_a_good_address_comes_back_in_normal_form(connect):
    async with connect(catalog.SERVER) as call:
        given = {"line1": " 500  Howard St ", "city": "San Francisco", "postal_code": "94105", "country": "US"}
        check = await call("validate_address", **given, region="ca")
        assert (check["valid"], check["problems"]) == (True, [])
        assert check["normalized"] == {**given, "line1": "500 Howard St", "region": "CA"}


async def test_every_problem_of_an_address_is_named_at_once(connect):
    async with connect(catalog.SERVER) as call:
        check = await call("validate_address", line1=" ", city="Springfield", postal_code="9410", country="US")
        assert check["valid"] is False
        assert [problem.split()[0] for problem in check["problems"]] == ["line1", "postal_code", "region"]
        check = await call("validate_address", line1="1 Rue", city="Bern", postal_code="3000", country="CH")
        assert "we do not deliver to CH" in check["problems"][0]


async def test_promo_codes_discount_or_say_why_not(connect):
    async with connect(pricing.SERVER) as call:
        promo = await call("apply_promo_code", code="welcome10", subtotal=4905)
        assert (promo["valid"], promo["discount"], promo["total"]) == (True, 491, 4414)
        promo = await call("apply_promo_code", code="EXPIRED5", subtotal=4900)
        assert (promo["valid"], promo["discount"], promo["total"]) == (False, 0, 4900)
        assert "expired after 2024-12-31" in promo["reason"]
        assert (await call("apply_promo_code", code="NONE", subtotal=1))["valid"] is False


def test_a_promo_code_holds_through_its_last_day(databases):
    database = databases(pricing.SERVER)
    assert pricing.Pricing(database, lambda: date(2024, 12, 31)).apply_promo_code("EXPIRED5", 1000).discount == 50
    assert pricing.Pricing(database, lambda: date(2025, 1, 1)).apply_promo_code("EXPIRED5", 1000).discount == 0


@pytest.mark.parametrize(
    ("country", "region", "amount", "tax"),
    [("US", "CA", 4900, 355), ("US", "ca", 4900, 355), ("US", "OR", 4900, 0), ("DE", None, 4900, 931)],
)
async def test_tax_is_that_of_the_region_or_else_of_the_country(connect, country, region, amount, tax):
    async with connect(pricing.SERVER) as call:
        assert (await call("calculate_tax", amount=amount, country=country, region=region))["tax"] == tax


async def test_a_country_without_a_tax_rate_is_an_error(connect):
    async with connect(pricing.SERVER) as call:
        with pytest.raises(Failed, match="No tax rate is known for CH"):
            await call("calculate_tax", amount=1, country="CH")


async def test_shipping_counts_every_started_kilogram(connect):
    async with connect(pricing.SERVER) as call:
        assert (await call("calculate_shipping", weight_grams=1000, country="US"))["shipping"] == 600
        assert (await call("calculate_shipping", weight_grams=1001, country="US"))["shipping"] == 700
        express = await call("calculate_shipping", weight_grams=1, country="FR", method="express")
        assert express == {"shipping": 4300, "method": "express"}
