"""The payment server: charges and refunds of cards, each at most once per idempotency key."""

from __future__ import annotations

import sqlite3
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel, Field

from servers.app import READS, Server, hints, main, tool
from servers.database import Database, Schema, changed, new_id
from servers.fields import Cents, Currency, OrderId, Reason
from servers.idempotency import REPLIES, IdempotencyKey, key_of, once

SCHEMA = Schema(
    tables=(
        """CREATE TABLE cards (
            token TEXT PRIMARY KEY, brand TEXT NOT NULL, decline_reason TEXT, fraud_score INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE charges (
            id TEXT PRIMARY KEY, order_id TEXT NOT NULL, card_token TEXT NOT NULL REFERENCES cards (token),
            amount INTEGER NOT NULL, currency TEXT NOT NULL,
            refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded BETWEEN 0 AND amount),
            version INTEGER NOT NULL DEFAULT 1,
            made_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
        ) STRICT""",
        """CREATE TABLE refunds (
            id TEXT PRIMARY KEY, charge_id TEXT NOT NULL REFERENCES charges (id), amount INTEGER NOT NULL,
            reason TEXT NOT NULL, made_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
        ) STRICT""",
        REPLIES,
    ),
    rows={
        "INSERT INTO cards VALUES (?, ?, ?, ?)": [
            ("tok_visa", "Visa", None, 5),
            ("tok_mastercard", "Mastercard", None, 10),
            ("tok_declined", "Visa", "insufficient funds", 15),
            ("tok_fraud", "Visa", None, 92),
        ],
    },
)

REVIEW_SCORE, REJECT_SCORE = 50, 80
LARGE_AMOUNT, LARGE_AMOUNT_SCORE = 200_000, 20

CardToken = Annotated[str, Field(min_length=1, max_length=64, description="Token that stands for a card: tok_visa.")]
ChargeId = Annotated[str, Field(min_length=1, max_length=64, description="The charge_id that charge_card gave.")]


class FraudScore(BaseModel):
    """0 (no sign of fraud) to 100. approve: charge it; review: ask a human first; reject: do not charge."""

    score: int
    decision: Literal["approve", "review", "reject"]


class Charge(BaseModel):
    charge_id: str
    status: Literal["succeeded"]
    amount: int
    currency: str
    order_id: str


class Refund(BaseModel):
    """`refundable` is what is left of the charge, in cents."""

    refund_id: str
    charge_id: str
    amount: int
    currency: str
    refundable: int


@dataclass(frozen=True, slots=True)
class Payment:
    database: Database

    def check_fraud_score(self, order_id: OrderId, card_token: CardToken, amount: Cents) -> FraudScore:
        """Judge how likely a charge is fraud, before making it."""
        extra = LARGE_AMOUNT_SCORE if amount >= LARGE_AMOUNT else 0
        score = min(100, self._card(card_token)["fraud_score"] + extra)
        if score >= REJECT_SCORE:
            return FraudScore(score=score, decision="reject")
        return FraudScore(score=score, decision="review" if score >= REVIEW_SCORE else "approve")

    def charge_card(
        self,
        card_token: CardToken,
        amount: Cents,
        currency: Currency,
        order_id: OrderId,
        context: Context[Any, Any],
        idempotency_key: IdempotencyKey = None,
    ) -> Charge:
        """Take money from a card. A declined card is an error that says why; then nothing was charged."""

        def effect(tx: sqlite3.Connection) -> Charge:
            declined = self._card(card_token)["decline_reason"]
            if declined is not None:
                raise ToolError(f"declined: {declined}")
            made = new_id("chg")
            tx.execute(
                "INSERT INTO charges (id, order_id, card_token, amount, currency) VALUES (?, ?, ?, ?, ?)",
                (made, order_id, card_token, amount, currency),
            )
            return Charge(charge_id=made, status="succeeded", amount=amount, currency=currency, order_id=order_id)

        asked = {"card_token": card_token, "amount": amount, "currency": currency, "order_id": order_id}
        return once(self.database, "charge_card", key_of(idempotency_key, context), asked, effect, Charge)

    def refund_card(
        self,
        charge_id: ChargeId,
        amount: Cents,
        reason: Reason,
        context: Context[Any, Any],
        idempotency_key: IdempotencyKey = None,
    ) -> Refund:
        """Give money of a charge back to its card. All refunds together cannot exceed the charge."""

        def effect(tx: sqlite3.Connection) -> Refund:
            charge = tx.execute("SELECT * FROM charges WHERE id = ?", (charge_id,)).fetchone()
            if charge is None:
                raise ToolError(f"There is no charge {charge_id!r}. Use the id charge_card gave.")
            left = charge["amount"] - charge["refunded"]
            if amount > left:
                raise ToolError(f"Cannot refund {amount}: only {left} of {charge_id} is left; nothing was refunded.")
            changed(
                tx.execute(
                    "UPDATE charges SET refunded = refunded + ?, version = version + 1 WHERE id = ? AND version = ?",
                    (amount, charge_id, charge["version"]),
                )
            )
            made = new_id("ref")
            tx.execute(
                "INSERT INTO refunds (id, charge_id, amount, reason) VALUES (?, ?, ?, ?)",
                (made, charge_id, amount, reason),
            )
            return Refund(
                refund_id=made,
                charge_id=charge_id,
                amount=amount,
                currency=charge["currency"],
                refundable=left - amount,
            )

        asked = {"charge_id": charge_id, "amount": amount, "reason": reason}
        return once(self.database, "refund_card", key_of(idempotency_key, context), asked, effect, Refund)

    def _card(self, token: str) -> sqlite3.Row:
        card = self.database.row("SELECT * FROM cards WHERE token = ?", token)
        if card is None:
            raise ToolError(f"There is no card {token!r}. Use the token the customer's order holds.")
        return card


def tools(database: Database) -> list[Tool]:
    payment = Payment(database)
    return [
        tool(payment.check_fraud_score, "Check the fraud score", READS),
        tool(payment.charge_card, "Charge a card", hints(destroys=True, outside=True)),
        tool(payment.refund_card, "Refund a card", hints(destroys=True, outside=True)),
    ]


SERVER = Server(
    name="payment",
    title="Payment",
    instructions="Charges and refunds of cards, in cents. If an answer is lost, repeat it with the same key.",
    schema=SCHEMA,
    tools=tools,
)

if __name__ == "__main__":
    sys.exit(main(SERVER))
