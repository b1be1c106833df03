"""Small stand-ins for the tools of the shop, with the shop's names and shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError

PRODUCTS = {"LAMP-01": (4900, 1200), "DESK-02": (39900, 28000), "CHAIR-03": (18900, 14500), "MUG-04": (1200, 350)}
numbers = itertools.count(1)


def catalog__lookup_product(sku: str) -> dict[str, Any]:
    if sku not in PRODUCTS:
        raise ToolError(f"no product {sku}")
    price, weight = PRODUCTS[sku]
    facts = {"name": sku.title(), "price": price, "currency": "USD"}
    return {"sku": sku, **facts, "weight_grams": weight, "in_catalog": True}


def catalog__validate_address(
    line1: str, city: str, postal_code: str, country: str, region: str | None = None
) -> dict[str, Any]:
    given = {"line1": line1, "city": city.title(), "region": region, "postal_code": postal_code, "country": country}
    return {"valid": True, "normalized": given, "problems": []}


def inventory__check_stock(sku: str) -> dict[str, Any]:
    return {"sku": sku, "available": 10, "version": 1}


def inventory__reserve_inventory(sku: str, quantity: int, order_id: str) -> dict[str, Any]:
    return {"reservation_id": f"res_{next(numbers)}", "sku": sku, "quantity": quantity, "state": "held"}


def inventory__release_reservation(reservation_id: str) -> dict[str, Any]:
    return {"reservation_id": reservation_id, "state": "released", "already_released": False}


def pricing__get_base_price(sku: str, quantity: int) -> dict[str, Any]:
    price = PRODUCTS[sku][0]
    return {"unit_price": price, "subtotal": price * quantity, "currency": "USD"}


def pricing__apply_promo_code(code: str, subtotal: int) -> dict[str, Any]:
    discount = subtotal // 10 if code == "WELCOME10" else 0
    return {"valid": bool(discount), "discount": discount, "total": subtotal - discount, "reason": None}


def pricing__calculate_tax(amount: int, country: str, region: str | None = None) -> dict[str, Any]:
    return {"tax": amount // 20, "rate_basis_points": 500}


def pricing__calculate_shipping(weight_grams: int, country: str) -> dict[str, Any]:
    return {"shipping": 500 + weight_grams // 10, "method": "standard"}


def payment__check_fraud_score(order_id: str, card_token: str, amount: int) -> dict[str, Any]:
    return {"score": 5, "decision": "reject" if card_token == "tok_fraud" else "approve"}


def payment__charge_card(card_token: str, amount: int, currency: str, order_id: str) -> dict[str, Any]:
    if card_token == "tok_declined":
        raise ToolError("declined: insufficient funds")
    return {"charge_id": "chg_1", "status": "succeeded", "amount": amount, "currency": currency}


def payment__refund_card(charge_id: str, amount: int, reason: str) -> dict[str, Any]:
    return {"refund_id": "ref_1", "charge_id": charge_id, "amount": amount}


def fulfillment__create_shipment(order_id: str, items: list[Any], address: dict[str, Any]) -> dict[str, Any]:
    return {"shipment_id": "shp_1", "tracking_number": "TRK-1", "status": "created"}


def fulfillment__generate_label(shipment_id: str) -> dict[str, Any]:
    return {"label_id": "lbl_1", "url": "https://labels.example.com/lbl_1.pdf"}


def fulfillment__send_email(to: str, subject: str, body: str) -> dict[str, Any]:
    return {"email_id": "eml_1"}


def fulfillment__update_order_status(order_id: str, status: str) -> dict[str, Any]:
    return {"order_id": order_id, "status": status, "version": 1}


def toolgate__await_approval(ticket: str) -> str:
    return f"{ticket} is pending"


def toolgate__escalate(reason: str) -> str:
    return "T9"


def toolgate__mark_run(run: str, state: str, lease: float | None = None) -> dict[str, Any]:
    return {"run": run, "state": state}


def toolgate__rollback(run: str) -> dict[str, Any]:
    return {"run": run, "state": "rolled_back", "undone": [], "waiting": [], "left": []}


TOOLS: list[Callable[..., Any]] = [tool for name, tool in list(globals().items()) if "__" in name.strip("_")]
