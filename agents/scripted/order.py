"""The five specialists of the order pipeline, as plays. Ids, prices and decisions come from tool results."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from agents.scripted.conversation import Answer, Call, Play, Unexpected, follow, task_of


def order(request: dict[str, Any]) -> dict[str, Any]:
    """Play the stage the system prompt names, on the order in the first message. Raises Unexpected."""
    play = PLAYS.get(_stage(request))
    if play is None:
        raise Unexpected(f"the system prompt should say which specialist this is: {', '.join(PLAYS)}")
    try:
        return follow(request, play(json.loads(task_of(request))))
    except (ValueError, KeyError) as error:
        raise Unexpected(f"the task is not the JSON this stage is given: {error!r}") from None


def hanging_order(request: dict[str, Any]) -> dict[str, Any]:
    """As `order`, until the stock is reserved: then the model does not answer any more."""
    if _stage(request) == "pricing":
        threading.Event().wait()
    return order(request)


def _stage(request: dict[str, Any]) -> str:
    named = re.search(r"You are the (\w+) specialist", str(request.get("system", "")))
    return named.group(1) if named else ""


def validation(task: dict[str, Any]) -> Play:
    skus = [item["sku"] for item in task["items"]]
    lookups = [Call("catalog__lookup_product", {"sku": sku}) for sku in skus]
    *products, checked = yield [*lookups, Call("catalog__validate_address", task["address"])]
    if refused := _refused([*products, checked]):
        return _failed(refused)
    weight = 0
    for item, product in zip(task["items"], products, strict=True):
        sold, grams = product.fields("in_catalog", "weight_grams")
        if not sold:
            return _failed(f"{item['sku']} is not sold any more.")
        weight += grams * item["quantity"]
    valid, address, problems = checked.fields("valid", "normalized", "problems")
    if not valid:
        return _failed(f"The address cannot be delivered to: {'; '.join(problems)}.")
    return json.dumps({"address": address, "items": task["items"], "weight_grams": weight})


def inventory(task: dict[str, Any]) -> Play:
    stocks = yield [Call("inventory__check_stock", {"sku": item["sku"]}) for item in task["items"]]
    if refused := _refused(stocks):
        return _failed(refused)
    for item, stock in zip(task["items"], stocks, strict=True):
        (available,) = stock.fields("available")
        if available < item["quantity"]:
            return _failed(f"Only {available} of {item['sku']} are left, {item['quantity']} are ordered.")
    held = yield [
        Call("inventory__reserve_inventory", {**item, "order_id": task["order_id"]}) for item in task["items"]
    ]
    if refused := _refused(held):
        return _failed(refused)
    names = ("reservation_id", "sku", "quantity")
    return json.dumps({"reservations": [dict(zip(names, made.fields(*names), strict=True)) for made in held]})


def pricing(task: dict[str, Any]) -> Play:
    prices = yield [Call("pricing__get_base_price", item) for item in task["items"]]
    if refused := _refused(prices):
        return _failed(refused)
    lines = [price.fields("subtotal", "currency") for price in prices]
    if others := {currency for _, currency in lines} - {task["currency"]}:
        return _failed(f"Prices are in {', '.join(sorted(others))}, the order is in {task['currency']}.")
    subtotal = sum(amount for amount, _ in lines)
    discount = 0
    if task.get("promo_code"):
        code = {"code": task["promo_code"], "subtotal": subtotal}
        (promo,) = yield [Call("pricing__apply_promo_code", code)]
        if promo.is_error:
            return _failed(promo.text)
        (discount,) = promo.fields("discount")
    place = {"country": task["country"]} | ({"region": task["region"]} if task.get("region") else {})
    parcel = {"weight_grams": task["weight_grams"], "country": task["country"]}
    taxed, shipped = yield [
        Call("pricing__calculate_tax", {"amount": subtotal - discount, **place}),
        Call("pricing__calculate_shipping", parcel),
    ]
    if refused := _refused([taxed, shipped]):
        return _failed(refused)
    (tax,), (shipping,) = taxed.fields("tax"), shipped.fields("shipping")
    bill = {"subtotal": subtotal, "discount": discount, "tax": tax, "shipping": shipping}
    total = subtotal - discount + tax + shipping
    return json.dumps({**bill, "total": total, "currency": task["currency"]})


def payment(task: dict[str, Any]) -> Play:
    card = {name: task[name] for name in ("order_id", "card_token", "amount")}
    (scored,) = yield [Call("payment__check_fraud_score", card)]
    if scored.is_error:
        return _failed(scored.text)
    score, decision = scored.fields("score", "decision")
    if decision != "approve":
        return _failed(f"The fraud check says {decision} (score {score}).")
    (charge,) = yield [Call("payment__charge_card", {**card, "currency": task["currency"]})]
    if charge.is_error:
        return _failed(charge.text)
    names = ("charge_id", "amount", "currency")
    return json.dumps(dict(zip(names, charge.fields(*names), strict=True)))


def fulfillment(task: dict[str, Any]) -> Play:
    parcel = {name: task[name] for name in ("order_id", "items", "address")}
    (shipment,) = yield [Call("fulfillment__create_shipment", parcel)]
    if shipment.is_error:
        return _failed(shipment.text)
    shipment_id, tracking = shipment.fields("shipment_id", "tracking_number")
    (label,) = yield [Call("fulfillment__generate_label", {"shipment_id": shipment_id})]
    if label.is_error:
        return _failed(label.text)
    (label_id,) = label.fields("label_id")
    customer = task["customer"]
    paid = f"{task['total'] / 100:.2f} {task['currency']}"
    mail = {
        "to": customer["email"],
        "subject": f"Your order {task['order_id']} is on its way",
        "body": f"Dear {customer['name']}, you paid {paid}. Your parcel has the tracking number {tracking}.",
    }
    updated, sent = yield [
        Call("fulfillment__update_order_status", {"order_id": task["order_id"], "status": "shipped"}),
        Call("fulfillment__send_email", mail),
    ]
    if refused := _refused([updated, sent]):
        return _failed(refused)
    (status,) = updated.fields("status")
    shipped = {"shipment_id": shipment_id, "tracking_number": tracking}
    return json.dumps({**shipped, "label_id": label_id, "status": status})


PLAYS: dict[str, Callable[[dict[str, Any]], Play]] = {
    "validation": validation,
    "inventory": inventory,
    "pricing": pricing,
    "payment": payment,
    "fulfillment": fulfillment,
}


def _refused(answers: list[Answer]) -> str:
    """The words of the first error among the answers, or nothing."""
    return next((answer.text for answer in answers if answer.is_error), "")


def _failed(why: str) -> str:
    return json.dumps({"failed": why})
