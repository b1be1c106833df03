"""The records server: past orders, searched by text or read with SQL that can only read."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass
from typing import Annotated

from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from servers.app import READS, Server, main, tool
from servers.database import Database, Schema
from servers.fields import OrderId
from servers.readonly import Reader, Rows

SCHEMA = Schema(
    tables=(
        """CREATE TABLE orders (
            id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, customer_name TEXT NOT NULL, status TEXT NOT NULL,
            total INTEGER NOT NULL, currency TEXT NOT NULL, placed_on TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE order_lines (
            order_id TEXT NOT NULL REFERENCES orders (id), sku TEXT NOT NULL, quantity INTEGER NOT NULL,
            unit_price INTEGER NOT NULL, PRIMARY KEY (order_id, sku)
        ) STRICT""",
    ),
    rows={
        "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)": [
            ("12345", "CUS-1001", "Ada Byron", "delivered", 39900, "USD", "2026-05-04"),
            ("12346", "CUS-1001", "Ada Byron", "shipped", 3800, "USD", "2026-09-18"),
            ("12347", "CUS-1002", "Erik Lund", "delivered", 18900, "EUR", "2026-06-30"),
            ("12348", "CUS-1003", "Mina Okafor", "received", 39900, "EUR", "2026-10-11"),
            ("12349", "CUS-1003", "Mina Okafor", "delivered", 2400, "EUR", "2026-03-02"),
            ("12350", "CUS-1001", "Ada Byron", "received", 4900, "USD", "2026-11-02"),
        ],
        "INSERT INTO order_lines VALUES (?, ?, ?, ?)": [
            ("12345", "DESK-02", 1, 39900),
            ("12346", "MUG-04", 1, 1200),
            ("12346", "LAMP-01", 1, 2600),
            ("12347", "CHAIR-03", 1, 18900),
            ("12348", "DESK-02", 1, 39900),
            ("12349", "MUG-04", 2, 1200),
            ("12350", "LAMP-01", 1, 4900),
        ],
    },
)

MOST_FOUND = 50

Text = Annotated[
    str,
    Field(min_length=1, max_length=200, description="Part of an order id, customer id, customer name or status."),
]
Sql = Annotated[
    str,
    Field(
        min_length=1,
        max_length=10_000,
        description=(
            "One SELECT in SQLite's dialect. Tables: orders (id, customer_id, customer_name, status, total,"
            " currency, placed_on) and order_lines (order_id, sku, quantity, unit_price); money in cents."
        ),
    ),
]


class Order(BaseModel):
    """A past order; `total` is in cents."""

    order_id: str
    customer_id: str
    customer_name: str
    status: str
    total: int
    currency: str
    placed_on: str


class OrderLine(BaseModel):
    sku: str
    quantity: int
    unit_price: int


class OrderWithLines(Order):
    lines: list[OrderLine]


class Found(BaseModel):
    """Newest orders first. `truncated` when there were more than are given."""

    orders: list[Order]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Records:
    database: Database
    reader: Reader

    def search_orders(self, text: Text) -> Found:
        """Find orders in which a text occurs. The text is taken literally; case does not matter."""
        literal = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = self.database.rows(
            "SELECT * FROM orders WHERE"
            " id || char(10) || customer_id || char(10) || customer_name || char(10) || status"
            " LIKE ? ESCAPE '\\' ORDER BY placed_on DESC, id LIMIT ?",
            f"%{literal}%",
            MOST_FOUND + 1,
        )
        found = [Order.model_validate(_fields(row)) for row in rows]
        return Found(orders=found[:MOST_FOUND], truncated=len(found) > MOST_FOUND)

    def get_order(self, order_id: OrderId) -> OrderWithLines:
        """Read one order with its lines."""
        row = self.database.row("SELECT * FROM orders WHERE id = ?", order_id)
        if row is None:
            raise ToolError(f"There is no order {order_id!r}. search_orders finds orders by part of their id or name.")
        lines = self.database.rows(
            "SELECT sku, quantity, unit_price FROM order_lines WHERE order_id = ? ORDER BY sku", order_id
        )
        return OrderWithLines.model_validate({**_fields(row), "lines": [dict(line) for line in lines]})

    def run_query(self, sql: Sql) -> Rows:
        """Run one SELECT over past orders. It can only read, for a second and 100 rows at most."""
        return self.reader.run(sql)


def _fields(row: sqlite3.Row) -> dict[str, object]:
    return {"order_id": row["id"], **dict(row)}


def tools(database: Database) -> list[Tool]:
    records = Records(database, Reader(database.path))
    return [
        tool(records.search_orders, "Search orders", READS),
        tool(records.get_order, "Get an order", READS),
        tool(records.run_query, "Run a read-only query", READS),
    ]


SERVER = Server(
    name="records",
    title="Order records",
    instructions="Past orders: search them by text, read one, or query them with SQL that can only read.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
