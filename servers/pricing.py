"""The pricing server: base prices, promo codes, tax and shipping. It only calculates, in cents."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from servers.app import READS, Server, main, tool
from servers.database import Database, Schema
from servers.fields import Cents, Country, Quantity, Region, Sku

SCHEMA = Schema(
    tables=(
        """CREATE TABLE prices (
            sku TEXT PRIMARY KEY, unit_price INTEGER NOT NULL, currency TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE promo_codes (
            code TEXT PRIMARY KEY, basis_points INTEGER NOT NULL, last_day TEXT
        ) STRICT""",
        """CREATE TABLE tax_rates (
            country TEXT NOT NULL, region TEXT NOT NULL, basis_points INTEGER NOT NULL,
            PRIMARY KEY (country, region)
        ) STRICT""",
        """CREATE TABLE shipping_rates (
            country TEXT NOT NULL, method TEXT NOT NULL, flat INTEGER NOT NULL, per_kilogram INTEGER NOT NULL,
            PRIMARY KEY (country, method)
        ) STRICT""",
    ),
    rows={
        "INSERT INTO prices VALUES (?, ?, 'USD')": [
            ("LAMP-01", 4900),
            ("DESK-02", 39900),
            ("CHAIR-03", 18900),
            ("MUG-04", 1200),
        ],
        "INSERT INTO promo_codes VALUES (?, ?, ?)": [
            ("WELCOME10", 1000, None),
            ("EXPIRED5", 500, "2024-12-31"),
        ],
        # Region '' is the rate of a country's regions that have none of their own.
        "INSERT INTO tax_rates VALUES (?, ?, ?)": [
            ("US", "", 0),
            ("US", "CA", 725),
            ("US", "NY", 400),
            ("US", "TX", 625),
            ("US", "WA", 650),
            ("CA", "", 500),
            ("CA", "ON", 1300),
            ("GB", "", 2000),
            ("DE", "", 1900),
            ("FR", "", 2000),
            ("NL", "", 2100),
        ],
        # Country '' is the rate of all countries that have none of their own.
        "INSERT INTO shipping_rates VALUES (?, ?, ?, ?)": [
            ("US", "standard", 500, 100),
            ("US", "express", 1500, 250),
            ("", "standard", 1500, 400),
            ("", "express", 3500, 800),
        ],
    },
)

PromoCode = Annotated[str, Field(min_length=1, max_length=40, description="Promo code as the customer gave it.")]
Weight = Annotated[int, Field(strict=True, ge=1, le=1_000_000, description="Weight of the whole parcel in grams.")]
Method = Annotated[Literal["standard", "express"], Field(description="Shipping method.")]


class Price(BaseModel):
    """Prices in cents, before promo codes, tax and shipping."""

    sku: str
    quantity: int
    unit_price: int
    subtotal: int
    currency: str


class Promo(BaseModel):
    """What a promo code does to a subtotal, in cents. If it is not `valid`, `reason` says why."""

    code: str
    valid: bool
    discount: int
    total: int
    reason: str | None = None


class Tax(BaseModel):
    """Tax in cents; 725 basis points are 7.25 percent."""

    tax: int
    rate_basis_points: int


class Shipping(BaseModel):
    """Cost of shipping in cents."""

    shipping: int
    method: str


def today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class Pricing:
    database: Database
    today: Callable[[], date] = today

    def get_base_price(self, sku: Sku, quantity: Quantity) -> Price:
        """Give the price of a product and of a quantity of it, in cents."""
        row = self.database.row("SELECT unit_price, currency FROM prices WHERE sku = ?", sku)
        if row is None:
            raise ToolError(f"There is no price for the product code {sku!r}. Check the product code.")
        return Price(sku=sku, quantity=quantity, subtotal=row["unit_price"] * quantity, **row)

    def apply_promo_code(self, code: PromoCode, subtotal: Cents) -> Promo:
        """Calculate the discount a promo code gives. An unknown or expired code is not an error."""
        row = self.database.row("SELECT basis_points, last_day FROM promo_codes WHERE code = ?", code.strip().upper())
        reason = None
        if row is None:
            reason = "there is no such promo code"
        elif row["last_day"] is not None and date.fromisoformat(row["last_day"]) < self.today():
            reason = f"the promo code expired after {row['last_day']}"
        discount = 0 if row is None or reason else share(subtotal, row["basis_points"])
        return Promo(code=code, valid=reason is None, discount=discount, total=subtotal - discount, reason=reason)

    def calculate_tax(self, amount: Cents, country: Country, region: Region = None) -> Tax:
        """Calculate the sales tax or VAT on an amount delivered to a country and region."""
        row = self.database.row(
            "SELECT basis_points FROM tax_rates WHERE country = ? AND region IN (?, '') ORDER BY region DESC",
            country,
            (region or "").upper(),
        )
        if row is None:
            raise ToolError(f"No tax rate is known for {country}. Known: {self._taxed()}.")
        return Tax(tax=share(amount, row["basis_points"]), rate_basis_points=row["basis_points"])

    def calculate_shipping(self, weight_grams: Weight, country: Country, method: Method = "standard") -> Shipping:
        """Calculate what shipping a parcel costs. Each started kilogram counts."""
        row = self.database.row(
            "SELECT * FROM shipping_rates WHERE country IN (?, '') AND method = ? ORDER BY country DESC",
            country,
            method,
        )
        if row is None:
            raise ToolError(f"There is no {method} shipping to {country}. Try another method.")
        kilograms = -(-weight_grams // 1000)
        return Shipping(shipping=row["flat"] + kilograms * row["per_kilogram"], method=method)

    def _taxed(self) -> str:
        return ", ".join(row["country"] for row in self.database.rows("SELECT DISTINCT country FROM tax_rates"))


def share(cents: int, basis_points: int) -> int:
    """That many hundredths of a percent of an amount, half a cent rounded up."""
    return (cents * basis_points + 5000) // 10_000


def tools(database: Database) -> list[Tool]:
    pricing = Pricing(database)
    return [
        tool(pricing.get_base_price, "Get the base price", READS),
        tool(pricing.apply_promo_code, "Apply a promo code", READS),
        tool(pricing.calculate_tax, "Calculate tax", READS),
        tool(pricing.calculate_shipping, "Calculate shipping", READS),
    ]


SERVER = Server(
    name="pricing",
    title="Pricing",
    instructions="Base prices, promo codes, tax and shipping. Only calculates; every amount is in cents.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
