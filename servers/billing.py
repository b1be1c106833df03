"""The billing server: what customers owe and have paid, discounts and refunds. Amounts are in cents."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass
from typing import Any, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel

from servers.app import READS, Server, hints, main, tool
from servers.database import Database, Schema, changed, new_id, retried
from servers.fields import Cents, CustomerId, Reason
from servers.idempotency import REPLIES, IdempotencyKey, key_of, once

SCHEMA = Schema(
    tables=(
        """CREATE TABLE accounts (
            customer_id TEXT PRIMARY KEY, currency TEXT NOT NULL, due INTEGER NOT NULL CHECK (due >= 0),
            paid INTEGER NOT NULL, refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND paid),
            version INTEGER NOT NULL DEFAULT 1
        ) STRICT""",
        """CREATE TABLE entries (
            id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES accounts (customer_id),
            kind TEXT NOT NULL CHECK (kind IN ('discount', 'refund')), amount INTEGER NOT NULL,
            reason TEXT NOT NULL, made_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
        ) STRICT""",
        REPLIES,
    ),
    rows={
        "INSERT INTO accounts (customer_id, currency, due, paid) VALUES (?, ?, ?, ?)": [
            ("CUS-1001", "USD", 4900, 43700),
            ("CUS-1002", "EUR", 0, 18900),
            ("CUS-1003", "EUR", 39900, 2400),
        ],
    },
)


class Balance(BaseModel):
    """In cents: `due` is still to be paid, `refundable` is what was paid and not yet refunded."""

    customer_id: str
    currency: str
    due: int
    paid: int
    refundable: int
    version: int


class Entry(BaseModel):
    """A change of an account, and the balance after it."""

    entry_id: str
    kind: Literal["discount", "refund"]
    amount: int
    balance: Balance


@dataclass(frozen=True, slots=True)
class Billing:
    database: Database

    def check_balance(self, customer_id: CustomerId) -> Balance:
        """Tell what a customer owes, has paid, and could be refunded."""
        row = self.database.row(
            "SELECT *, paid - refunded AS refundable FROM accounts WHERE customer_id = ?", customer_id
        )
        if row is None:
            raise ToolError(f"Customer {customer_id!r} has no account. Check the identifier.")
        return Balance.model_validate(dict(row))

    def apply_discount(self, customer_id: CustomerId, amount: Cents, reason: Reason) -> Entry:
        """Lower what a customer owes. Every call lowers it again; it cannot fall below zero."""

        def attempt() -> Entry:
            balance = self.check_balance(customer_id)
            if amount > balance.due:
                raise ToolError(
                    f"Cannot take {amount} off: {customer_id} owes only {balance.due}; nothing was changed."
                )
            with self.database.transaction() as tx:
                changed(
                    tx.execute(
                        "UPDATE accounts SET due = ?, version = version + 1 WHERE customer_id = ? AND version = ?",
                        (balance.due - amount, customer_id, balance.version),
                    )
                )
                return self._entry(tx, customer_id, "discount", amount, reason)

        return retried(attempt)

    def process_refund(
        self,
        customer_id: CustomerId,
        amount: Cents,
        reason: Reason,
        context: Context[Any, Any],
        idempotency_key: IdempotencyKey = None,
    ) -> Entry:
        """Pay money back to a customer. All refunds together cannot exceed what the customer paid."""

        def effect(tx: sqlite3.Connection) -> Entry:
            balance = self.check_balance(customer_id)
            if amount > balance.refundable:
                left = f"only {balance.refundable} of what {customer_id} paid is left"
                raise ToolError(f"Cannot refund {amount}: {left}; nothing was refunded.")
            changed(
                tx.execute(
                    "UPDATE accounts SET refunded = refunded + ?, version = version + 1"
                    " WHERE customer_id = ? AND version = ?",
                    (amount, customer_id, balance.version),
                )
            )
            return self._entry(tx, customer_id, "refund", amount, reason)

        asked = {"customer_id": customer_id, "amount": amount, "reason": reason}
        return once(self.database, "process_refund", key_of(idempotency_key, context), asked, effect, Entry)

    def _entry(
        self,
        tx: sqlite3.Connection,
        customer_id: str,
        kind: Literal["discount", "refund"],
        amount: int,
        reason: str,
    ) -> Entry:
        made = new_id("ent")
        tx.execute(
            "INSERT INTO entries (id, customer_id, kind, amount, reason) VALUES (?, ?, ?, ?, ?)",
            (made, customer_id, kind, amount, reason),
        )
        return Entry(entry_id=made, kind=kind, amount=amount, balance=self.check_balance(customer_id))


def tools(database: Database) -> list[Tool]:
    billing = Billing(database)
    return [
        tool(billing.check_balance, "Check the balance", READS),
        tool(billing.apply_discount, "Apply a discount", hints(destroys=True)),
        tool(billing.process_refund, "Process a refund", hints(destroys=True, outside=True)),
    ]


SERVER = Server(
    name="billing",
    title="Billing",
    instructions="What customers owe and have paid, discounts and refunds. Every amount is in cents.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
