"""The catalog server: which products exist, and whether an address can be delivered to."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel

from servers.app import READS, Server, main, tool
from servers.database import Database, Schema
from servers.fields import Address, City, Country, Line, PostalCode, Region, Sku

SCHEMA = Schema(
    tables=(
        """CREATE TABLE products (
            sku TEXT PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, currency TEXT NOT NULL,
            weight_grams INTEGER NOT NULL, in_catalog INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE countries (
            code TEXT PRIMARY KEY, name TEXT NOT NULL, needs_region INTEGER NOT NULL,
            postal_pattern TEXT NOT NULL, postal_example TEXT NOT NULL
        ) STRICT""",
    ),
    rows={
        "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)": [
            ("LAMP-01", "Desk lamp", 4900, "USD", 1200, 1),
            ("DESK-02", "Standing desk", 39900, "USD", 28000, 1),
            ("CHAIR-03", "Office chair", 18900, "USD", 14500, 1),
            ("MUG-04", "Coffee mug", 1200, "USD", 350, 1),
            ("CLOCK-05", "Wall clock", 2900, "USD", 800, 0),
        ],
        "INSERT INTO countries VALUES (?, ?, ?, ?, ?)": [
            ("US", "United States", 1, r"\d{5}(-\d{4})?", "94107"),
            ("CA", "Canada", 1, r"[A-Z]\d[A-Z] ?\d[A-Z]\d", "K1A 0B1"),
            ("GB", "United Kingdom", 0, r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}", "SW1A 1AA"),
            ("DE", "Germany", 0, r"\d{5}", "10115"),
            ("FR", "France", 0, r"\d{5}", "75001"),
            ("NL", "Netherlands", 0, r"\d{4} ?[A-Z]{2}", "1012 AB"),
        ],
    },
)


class Product(BaseModel):
    """A product. `price` is in cents; one that is not `in_catalog` is no longer sold."""

    sku: str
    name: str
    price: int
    currency: str
    weight_grams: int
    in_catalog: bool


class Products(BaseModel):
    products: list[Product]


class AddressCheck(BaseModel):
    """Whether an address can be delivered to; if not, `problems` says why."""

    valid: bool
    normalized: Address
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Catalog:
    database: Database

    def lookup_product(self, sku: Sku) -> Product:
        """Look up one product by its code: name, price, weight and whether it is still sold."""
        row = self.database.row("SELECT * FROM products WHERE sku = ?", sku)
        if row is None:
            raise ToolError(f"There is no product with the code {sku!r}. list_products gives the codes there are.")
        return Product.model_validate(dict(row))

    def list_products(self) -> Products:
        """List all products that are sold now, by code."""
        rows = self.database.rows("SELECT * FROM products WHERE in_catalog = 1 ORDER BY sku")
        return Products(products=[Product.model_validate(dict(row)) for row in rows])

    def validate_address(
        self, line1: Line, city: City, postal_code: PostalCode, country: Country, region: Region = None
    ) -> AddressCheck:
        """Check a postal address and give it back in normal form, with every problem found."""
        given = Address(
            line1=_tidy(line1),
            city=_tidy(city),
            region=_tidy(region or "").upper() or None,
            postal_code=_tidy(postal_code).upper(),
            country=country,
        )
        problems = [f"{name} is empty" for name in ("line1", "city", "postal_code") if not getattr(given, name)]
        rules = self.database.row("SELECT * FROM countries WHERE code = ?", country)
        if rules is None:
            codes = ", ".join(row["code"] for row in self.database.rows("SELECT code FROM countries ORDER BY code"))
            problems.append(f"we do not deliver to {country}; we deliver to {codes}")
        else:
            if given.postal_code and not re.fullmatch(rules["postal_pattern"], given.postal_code):
                problems.append(f"postal_code does not look like one of {rules['name']}: {rules['postal_example']}")
            if rules["needs_region"] and given.region is None:
                problems.append(f"region is needed in {rules['name']}")
        return AddressCheck(valid=not problems, normalized=given, problems=problems)


def _tidy(text: str) -> str:
    return " ".join(text.split())


def tools(database: Database) -> list[Tool]:
    catalog = Catalog(database)
    return [
        tool(catalog.lookup_product, "Look up a product", READS),
        tool(catalog.list_products, "List products", READS),
        tool(catalog.validate_address, "Validate an address", READS),
    ]


SERVER = Server(
    name="catalog",
    title="Product catalog",
    instructions="Products the shop sells, and a check of delivery addresses. Prices are in cents.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
