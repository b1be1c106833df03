"""The inventory server: stock, and reservations that hold part of it for an order."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from servers.app import READS, Server, hints, main, tool
from servers.database import Database, Schema, changed, new_id, retried
from servers.fields import OrderId, Quantity, Sku

SCHEMA = Schema(
    tables=(
        """CREATE TABLE stock (
            sku TEXT PRIMARY KEY, available INTEGER NOT NULL CHECK (available >= 0),
            version INTEGER NOT NULL DEFAULT 1
        ) STRICT""",
        """CREATE TABLE reservations (
            id TEXT PRIMARY KEY, order_id TEXT NOT NULL, sku TEXT NOT NULL REFERENCES stock (sku),
            quantity INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('held', 'released')),
            version INTEGER NOT NULL DEFAULT 1
        ) STRICT""",
    ),
    rows={
        "INSERT INTO stock (sku, available) VALUES (?, ?)": [
            ("LAMP-01", 40),
            ("DESK-02", 12),
            ("CHAIR-03", 25),
            ("MUG-04", 300),
        ],
    },
)

ReservationId = Annotated[
    str, Field(min_length=1, max_length=64, description="The reservation_id that reserve_inventory gave.")
]


class Stock(BaseModel):
    """Units that can still be reserved. `version` counts the changes of this row."""

    sku: str
    available: int
    version: int


class Reservation(BaseModel):
    reservation_id: str
    sku: str
    quantity: int
    state: Literal["held"]
    order_id: str


class Release(BaseModel):
    """A released reservation; `already_released` when an earlier call had done it and nothing changed now."""

    reservation_id: str
    state: Literal["released"]
    already_released: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    database: Database

    def check_stock(self, sku: Sku) -> Stock:
        """Tell how many units of a product can be reserved now."""
        row = self.database.row("SELECT sku, available, version FROM stock WHERE sku = ?", sku)
        if row is None:
            raise ToolError(f"No stock is kept under the code {sku!r}. Check the product code.")
        return Stock.model_validate(dict(row))

    def reserve_inventory(self, sku: Sku, quantity: Quantity, order_id: OrderId) -> Reservation:
        """Hold units of a product for an order. Every call holds more; release_reservation gives back."""

        def attempt() -> Reservation:
            stock = self.check_stock(sku)
            if quantity > stock.available:
                raise ToolError(f"Cannot reserve {quantity} of {sku}: only {stock.available} left; nothing was held.")
            made = new_id("res")
            with self.database.transaction() as tx:
                changed(
                    tx.execute(
                        "UPDATE stock SET available = ?, version = version + 1 WHERE sku = ? AND version = ?",
                        (stock.available - quantity, sku, stock.version),
                    )
                )
                tx.execute(
                    "INSERT INTO reservations (id, order_id, sku, quantity, state) VALUES (?, ?, ?, ?, 'held')",
                    (made, order_id, sku, quantity),
                )
            return Reservation(reservation_id=made, sku=sku, quantity=quantity, state="held", order_id=order_id)

        return retried(attempt)

    def release_reservation(self, reservation_id: ReservationId) -> Release:
        """Give the units of a reservation back to the stock. Releasing twice is harmless and says so."""

        def attempt() -> Release:
            held = self.database.row("SELECT * FROM reservations WHERE id = ?", reservation_id)
            if held is None:
                raise ToolError(f"There is no reservation {reservation_id!r}. Use the id reserve_inventory gave.")
            if held["state"] == "released":
                return Release(reservation_id=reservation_id, state="released", already_released=True)
            stock = self.check_stock(held["sku"])
            with self.database.transaction() as tx:
                changed(
                    tx.execute(
                        "UPDATE reservations SET state = 'released', version = version + 1"
                        " WHERE id = ? AND version = ?",
                        (reservation_id, held["version"]),
                    )
                )
                changed(
                    tx.execute(
                        "UPDATE stock SET available = ?, version = version + 1 WHERE sku = ? AND version = ?",
                        (stock.available + held["quantity"], stock.sku, stock.version),
                    )
                )
            return Release(reservation_id=reservation_id, state="released", already_released=False)

        return retried(attempt)


def tools(database: Database) -> list[Tool]:
    inventory = Inventory(database)
    return [
        tool(inventory.check_stock, "Check stock", READS),
        tool(inventory.reserve_inventory, "Reserve stock", hints()),
        tool(inventory.release_reservation, "Release a reservation", hints(destroys=True, repeatable=True)),
    ]


SERVER = Server(
    name="inventory",
    title="Inventory",
    instructions="Stock of each product, and reservations that hold units for an order until released.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
