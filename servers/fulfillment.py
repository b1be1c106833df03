"""The fulfillment server: shipments, labels, order status and an outbox of e-mails."""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from servers.app import READS, Server, hints, main, tool
from servers.database import Database, Schema, changed, expect_version, new_id
from servers.fields import Address, Email, ExpectedVersion, OrderId, Quantity, Sku
from servers.idempotency import REPLIES, IdempotencyKey, key_of, once

SCHEMA = Schema(
    tables=(
        """CREATE TABLE shipments (
            id TEXT PRIMARY KEY, order_id TEXT NOT NULL, tracking_number TEXT NOT NULL UNIQUE,
            items TEXT NOT NULL, address TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'created',
            version INTEGER NOT NULL DEFAULT 1,
            made_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
        ) STRICT""",
        """CREATE TABLE labels (
            id TEXT PRIMARY KEY, shipment_id TEXT NOT NULL UNIQUE REFERENCES shipments (id)
        ) STRICT""",
        """CREATE TABLE outbox (
            id TEXT PRIMARY KEY, recipient TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
            queued_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
        ) STRICT""",
        """CREATE TABLE orders (
            id TEXT PRIMARY KEY, status TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1
        ) STRICT""",
        REPLIES,
    ),
    rows={},
)

ShipmentId = Annotated[str, Field(min_length=1, max_length=64, description="The shipment_id create_shipment gave.")]
TrackingNumber = Annotated[str, Field(min_length=1, max_length=64, description="Tracking number of a shipment.")]
Subject = Annotated[str, Field(pattern=r"^[^\r\n]+$", max_length=200, description="Subject, on one line.")]
Body = Annotated[str, Field(min_length=1, max_length=20_000, description="Plain text of the e-mail.")]
OrderStatus = Annotated[
    Literal[
        "received",
        "confirmed",
        "processing",
        "paid",
        "packed",
        "shipped",
        "delivered",
        "completed",
        "failed",
        "cancelled",
    ],
    Field(description="The order's new status."),
]


class Item(BaseModel, extra="forbid"):
    """One line of a shipment."""

    sku: Sku
    quantity: Quantity


class Shipment(BaseModel):
    shipment_id: str
    order_id: str
    tracking_number: str
    status: str


class Label(BaseModel):
    label_id: str
    shipment_id: str
    url: str


class QueuedEmail(BaseModel):
    """An e-mail in the outbox; it leaves from there."""

    email_id: str
    state: Literal["queued"]


class Order(BaseModel):
    order_id: str
    status: str
    version: int


class Tracking(BaseModel):
    tracking_number: str
    shipment_id: str
    order_id: str
    status: str


Items = Annotated[list[Item], Field(min_length=1, max_length=100, description="What the parcel holds.")]
ShipTo = Annotated[Address, Field(description="Where the parcel goes.")]


@dataclass(frozen=True, slots=True)
class Fulfillment:
    database: Database

    def create_shipment(
        self,
        order_id: OrderId,
        items: Items,
        address: ShipTo,
        context: Context[Any, Any],
        idempotency_key: IdempotencyKey = None,
    ) -> Shipment:
        """Create the shipment of an order that is paid for, and get its tracking number."""
        parts, place = [item.model_dump() for item in items], address.model_dump()

        def effect(tx: sqlite3.Connection) -> Shipment:
            made = new_id("shp")
            number = new_id("TRK").replace("_", "-").upper()
            tx.execute(
                "INSERT INTO shipments (id, order_id, tracking_number, items, address) VALUES (?, ?, ?, ?, ?)",
                (made, order_id, number, json.dumps(parts), json.dumps(place)),
            )
            return Shipment(shipment_id=made, order_id=order_id, tracking_number=number, status="created")

        asked = {"order_id": order_id, "items": parts, "address": place}
        return once(self.database, "create_shipment", key_of(idempotency_key, context), asked, effect, Shipment)

    def generate_label(self, shipment_id: ShipmentId) -> Label:
        """Make the shipping label of a shipment. Asked again, it gives the label made before."""
        with self.database.transaction() as tx:
            shipment = tx.execute("SELECT version FROM shipments WHERE id = ?", (shipment_id,)).fetchone()
            if shipment is None:
                raise ToolError(f"There is no shipment {shipment_id!r}. Use the id create_shipment gave.")
            found = tx.execute("SELECT id FROM labels WHERE shipment_id = ?", (shipment_id,)).fetchone()
            label = found["id"] if found else new_id("lbl")
            if found is None:
                tx.execute("INSERT INTO labels (id, shipment_id) VALUES (?, ?)", (label, shipment_id))
                changed(
                    tx.execute(
                        "UPDATE shipments SET status = 'labelled', version = version + 1 WHERE id = ? AND version = ?",
                        (shipment_id, shipment["version"]),
                    )
                )
        return Label(label_id=label, shipment_id=shipment_id, url=f"https://labels.example.com/{label}.pdf")

    def send_email(self, to: Email, subject: Subject, body: Body) -> QueuedEmail:
        """Put one plain-text e-mail to a customer into the outbox. Every call queues another one."""
        made = new_id("eml")
        with self.database.transaction() as tx:
            tx.execute(
                "INSERT INTO outbox (id, recipient, subject, body) VALUES (?, ?, ?, ?)",
                (made, to, subject, body),
            )
        return QueuedEmail(email_id=made, state="queued")

    def update_order_status(
        self, order_id: OrderId, status: OrderStatus, expected_version: ExpectedVersion = None
    ) -> Order:
        """Set the status of an order. An order not heard of before is taken on with version 1."""
        with self.database.transaction() as tx:
            order = tx.execute("SELECT status, version FROM orders WHERE id = ?", (order_id,)).fetchone()
            found = order["version"] if order else 0
            expect_version(f"Order {order_id}", found, expected_version)
            if order is None:
                tx.execute("INSERT INTO orders (id, status) VALUES (?, ?)", (order_id, status))
            elif order["status"] == status:
                return Order(order_id=order_id, status=status, version=found)
            else:
                changed(
                    tx.execute(
                        "UPDATE orders SET status = ?, version = version + 1 WHERE id = ? AND version = ?",
                        (status, order_id, found),
                    )
                )
        return Order(order_id=order_id, status=status, version=found + 1)

    def track_package(self, tracking_number: TrackingNumber) -> Tracking:
        """Tell where a shipment stands."""
        row = self.database.row(
            "SELECT tracking_number, id AS shipment_id, order_id, status FROM shipments WHERE tracking_number = ?",
            tracking_number,
        )
        if row is None:
            raise ToolError(f"There is no shipment with the tracking number {tracking_number!r}. Check the number.")
        return Tracking.model_validate(dict(row))


def tools(database: Database) -> list[Tool]:
    fulfillment = Fulfillment(database)
    return [
        tool(fulfillment.create_shipment, "Create a shipment", hints()),
        tool(fulfillment.generate_label, "Generate a shipping label", hints(repeatable=True)),
        tool(fulfillment.send_email, "Send an e-mail", hints(outside=True)),
        tool(fulfillment.update_order_status, "Update the order status", hints(destroys=True, repeatable=True)),
        tool(fulfillment.track_package, "Track a package", READS),
    ]


SERVER = Server(
    name="fulfillment",
    title="Fulfillment",
    instructions="Shipments, labels, order status, and e-mails to customers.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
