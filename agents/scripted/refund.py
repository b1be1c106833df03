"""A support agent that is asked for money back and is not sure: it says how sure it is, and reports what came of it."""

from __future__ import annotations

import re
from typing import Any

from agents.scripted.conversation import Call, Play, Unexpected, follow, task_of

CONFIDENCE = 0.55
REASON = "The customer says that the parcel was late. I cannot check that, and the sum is high for a delay."


def refund(request: dict[str, Any]) -> dict[str, Any]:
    """Give the customer named in the task (`CUS-...`) the sum named there (`120.00`). Raises Unexpected."""
    task = task_of(request)
    customer, asked = re.search(r"\bCUS-\d+\b", task), re.search(r"\b(\d+)\.(\d\d)\b", task)
    if customer is None or asked is None:
        raise Unexpected("the task should name a customer, such as CUS-1001, and a sum, such as 120.00")
    return follow(request, _refund(customer[0], int(asked[1] + asked[2])))


def _refund(customer: str, asked: int) -> Play:
    (balance,) = yield [Call("billing__check_balance", {"customer_id": customer})]
    if balance.is_error:
        return f"I refunded nothing: {balance.text}"
    (refundable,) = balance.fields("refundable")
    given = {"customer_id": customer, "amount": min(asked, refundable), "reason": "late parcel"}
    (entry,) = yield [Call("billing__process_refund", {**given, "_confidence": CONFIDENCE, "_reason": REASON})]
    if entry.is_error:
        return f"I refunded nothing: {entry.text}"
    (amount,) = entry.fields("amount")
    return f"I refunded {_money(amount)} of the {_money(asked)} that {customer} asked for."


def _money(cents: int) -> str:
    return f"{cents / 100:.2f}"
