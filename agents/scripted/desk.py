"""A support desk, as plays: a planner who reads the customer's message, and three specialists.

The message names a customer (`CUS-1001`) and any of: a new address after `to` (`line, city, region code, country`), a
code after `code`, a tracking number (`TRK-...`) or the word parcel.
"""

from __future__ import annotations

import json
import re
from typing import Any

from agents.scripted.conversation import Call, Play, Unexpected, follow, task_of

ADDRESS = re.compile(r"\bto ([^,\"]+), ([^,\"]+), ([A-Z]{2}) (\S+), ([A-Z]{2})\b")
CODE = re.compile(r"\bcode (\w+)", re.IGNORECASE)
CUSTOMER = re.compile(r"\bCUS-\d+\b")
NUMBER = re.compile(r"\bTRK-\w+")
REASON = "discount code {code}"


def desk(request: dict[str, Any]) -> dict[str, Any]:
    """Play whom the system prompt names. Raises Unexpected."""
    system, task = str(request.get("system", "")), task_of(request)
    if "You are the planner" in system:
        return {"content": [{"type": "text", "text": _planned(task)}], "stop_reason": "end_turn"}
    named = re.search(r"You are the (\w+) specialist", system)
    play = PLAYS.get(named[1] if named else "")
    customer = CUSTOMER.search(task)
    if play is None or customer is None:
        raise Unexpected("the system prompt should name a specialist of the desk, and the task a customer")
    return follow(request, play(customer[0], task))


def _planned(task: str) -> str:
    """A plan for a new message, nothing more after failures, and the answer at the end."""
    if task.startswith("Answer what was asked"):
        return _summed(task)
    if task.startswith("Some tasks did not succeed"):
        return json.dumps({"tasks": []})
    task = task.partition("What was asked:")[2]
    customer = CUSTOMER.search(task)
    if customer is None:
        raise Unexpected("the message should name a customer, such as CUS-1001")
    tasks = []
    if address := ADDRESS.search(task):
        tasks.append(("address", f"Change the address of {customer[0]} {address[0]}."))
    if code := CODE.search(task):
        tasks.append(("discount", f"Apply the discount {code[0]} for {customer[0]}."))
    if re.search(r"\bparcel\b", task):
        number = NUMBER.search(task)
        tasks.append(("parcel", f"Where is the parcel of {customer[0]}?" + (f" It is {number[0]}." if number else "")))
    planned = [{"id": name, "specialist": name, "task": told, "needs": []} for name, told in tasks]
    return json.dumps({"tasks": planned})


def _summed(task: str) -> str:
    ledger, _ = json.JSONDecoder().raw_decode(task[task.index("[") :])
    said = [each["result"] if each["state"] == "completed" else f"Not done: {each['error']}." for each in ledger]
    return " ".join(said)


def address(customer: str, task: str) -> Play:
    named = ADDRESS.search(task)
    if named is None:
        raise Unexpected("the task should hold a new address")
    wanted = dict(zip(("line1", "city", "region", "postal_code", "country"), named.groups(), strict=True))
    (found,) = yield [Call("customers__lookup_address", {"customer_id": customer})]
    if found.is_error:
        return f"The address was not changed: {found.text}"
    if found.fields("address") == (wanted,):
        return f"The address of {customer} was that already."
    (changed,) = yield [Call("customers__update_address", {"customer_id": customer, "address": wanted})]
    if changed.is_error:
        return f"The address was not changed: {changed.text}"
    return f"Parcels of {customer} go to {named[1]}, {named[2]} now."


def discount(customer: str, task: str) -> Play:
    named = CODE.search(task)
    if named is None:
        raise Unexpected("the task should name a code")
    (balance,) = yield [Call("billing__check_balance", {"customer_id": customer})]
    if balance.is_error:
        return f"No discount: {balance.text}"
    due, currency = balance.fields("due", "currency")
    (worth,) = yield [Call("pricing__apply_promo_code", {"code": named[1], "subtotal": due})]
    if worth.is_error:
        return f"No discount: {worth.text}"
    amount, reason = worth.fields("discount", "reason")
    if not amount:
        return f"The code {named[1]} takes nothing off: {reason or 'nothing is due'}."
    given = {"customer_id": customer, "amount": amount, "reason": REASON.format(code=named[1])}
    (entry,) = yield [Call("billing__apply_discount", given)]
    if entry.is_error:
        return f"No discount: {entry.text}"
    (taken,) = entry.fields("amount")
    return f"{taken / 100:.2f} {currency} were taken off for {named[1]}."


def parcel(customer: str, task: str) -> Play:
    number = NUMBER.search(task)
    calls = [Call("records__search_orders", {"text": customer})]
    if number:
        calls.append(Call("fulfillment__track_package", {"tracking_number": number[0]}))
    found, *tracked = yield calls
    if found.is_error:
        return f"The orders of {customer} cannot be looked at: {found.text}"
    if tracked and not tracked[0].is_error:
        order, status = tracked[0].fields("order_id", "status")
        return f"The parcel {number[0] if number else ''} of order {order} is {status}."
    (orders,) = found.fields("orders")
    on_the_way = [f"{each['order_id']} ({each['status']})" for each in orders if each["status"] != "delivered"]
    return f"Orders of {customer} that are not delivered yet: {', '.join(on_the_way) or 'none'}."


PLAYS = {"address": address, "discount": discount, "parcel": parcel}
