"""The order pipeline: five specialists, each with its own prompt, token and tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.agent import Agent
from agents.pipeline import Known, Pipeline, Stage, accept
from agents.runs import Runs


def shape(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON Schema of an object with these properties and no other."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def rows(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a list of at least one such object."""
    return {"type": "array", "items": shape(properties), "minItems": 1}


TEXT = {"type": "string", "minLength": 1}
MAYBE_TEXT = {"anyOf": [TEXT, {"type": "null"}]}
COUNT = {"type": "integer", "minimum": 1}
CENTS = {"type": "integer", "minimum": 0, "description": "Minor units (cents)."}
CURRENCY = {"type": "string", "enum": ["USD", "EUR"]}
ADDRESS = shape(
    {"line1": TEXT, "city": TEXT, "region": MAYBE_TEXT, "postal_code": TEXT, "country": TEXT},
    optional=("region",),
)
CUSTOMER = shape({"name": TEXT, "email": TEXT, "address": ADDRESS})
ITEMS = rows({"sku": TEXT, "quantity": COUNT})
ORDER = shape(
    {
        "order_id": TEXT,
        "customer": CUSTOMER,
        "items": ITEMS,
        "promo_code": MAYBE_TEXT,
        "card_token": TEXT,
        "currency": CURRENCY,
    },
    optional=("promo_code",),
)
"""What an order file holds."""

SYSTEM = """You are the {name} specialist of an order desk. {job}
The message is JSON: what is known of one order. Money is in minor units (cents).
{how}
Use tools for every fact; never invent an id, a price or a result. Do not repeat a call that succeeded.
When a tool refuses, or fails for good, stop and answer {{"failed": "<why, in one sentence>"}}.
Otherwise answer with JSON of the requested shape only."""

JOBS = {
    "validation": "Checks that the products exist and that the address can be delivered to.",
    "inventory": "Reserves stock for every item of the order.",
    "pricing": "Computes what the order costs.",
    "payment": "Charges the card once with the total, unless it looks like fraud.",
    "fulfillment": "Ships the paid order and tells the customer.",
}
"""Each specialist's job, in one sentence, in the order they work."""

HOW = {
    "validation": """Look up every product (it must be in_catalog) and validate the address.
Give the address in its normalized form, and the weight of the parcel: all weight_grams times quantity.""",
    "inventory": """Check the stock of every item first; when one is short, reserve nothing.
Then reserve each item.""",
    "pricing": """Add up the base prices; they must be in the order's currency.
Apply the promo code if there is one; a code that is not valid gives no discount and is no failure.
Tax is on the subtotal less the discount. Then the shipping of the parcel.
total = subtotal - discount + tax + shipping.""",
    "payment": """Check the fraud score of the amount first; charge only when its decision is approve.
A declined card is final: never try again, never another amount.""",
    "fulfillment": """Create the shipment, then its label. Then set the order's status to shipped and write
the customer one short e-mail with the tracking number.""",
}

SCHEMAS = {
    "validation": shape({"address": ADDRESS, "items": ITEMS, "weight_grams": COUNT}),
    "inventory": shape({"reservations": rows({"reservation_id": TEXT, "sku": TEXT, "quantity": COUNT})}),
    "pricing": shape(
        dict.fromkeys(("subtotal", "discount", "tax", "shipping", "total"), CENTS) | {"currency": CURRENCY}
    ),
    "payment": shape({"charge_id": TEXT, "amount": CENTS, "currency": CURRENCY}),
    "fulfillment": shape({"shipment_id": TEXT, "tracking_number": TEXT, "label_id": TEXT, "status": TEXT}),
}

BRIEFS: dict[str, Callable[[Known], dict[str, Any]]] = {
    "validation": lambda known: {
        "items": known["task"]["items"],
        "address": known["task"]["customer"]["address"],
    },
    "inventory": lambda known: {
        "order_id": known["task"]["order_id"],
        "items": known["validation"]["items"],
    },
    "pricing": lambda known: {
        "items": known["validation"]["items"],
        "promo_code": known["task"].get("promo_code"),
        "currency": known["task"]["currency"],
        "weight_grams": known["validation"]["weight_grams"],
        "country": known["validation"]["address"]["country"],
        "region": known["validation"]["address"].get("region"),
    },
    "payment": lambda known: {
        "order_id": known["task"]["order_id"],
        "card_token": known["task"]["card_token"],
        "amount": known["pricing"]["total"],
        "currency": known["pricing"]["currency"],
    },
    "fulfillment": lambda known: {
        "order_id": known["task"]["order_id"],
        "items": known["validation"]["items"],
        "address": known["validation"]["address"],
        "customer": {name: known["task"]["customer"][name] for name in ("name", "email")},
        "total": known["pricing"]["total"],
        "currency": known["pricing"]["currency"],
    },
}


def same_items(known: Known, output: dict[str, Any]) -> str | None:
    """The validated items are those of the order."""
    return None if output["items"] == known["task"]["items"] else "items are not those of the order"


def all_reserved(known: Known, output: dict[str, Any]) -> str | None:
    """Every item has one reservation of its whole quantity."""
    held = sorted((line["sku"], line["quantity"]) for line in output["reservations"])
    asked = sorted((line["sku"], line["quantity"]) for line in known["validation"]["items"])
    return None if held == asked else "the reservations are not those of the items"


def adds_up(known: Known, output: dict[str, Any]) -> str | None:
    """The total is the sum of its parts, in the order's currency."""
    if output["currency"] != known["task"]["currency"]:
        return f"the currency is not the order's, {known['task']['currency']}"
    total = output["subtotal"] - output["discount"] + output["tax"] + output["shipping"]
    return None if output["total"] == total else f"total is {output['total']}, its parts are {total}"


def charged_in_full(known: Known, output: dict[str, Any]) -> str | None:
    """What was charged is what was asked for."""
    charged = f"{output['amount']} {output['currency']}"
    asked = f"{known['pricing']['total']} {known['pricing']['currency']}"
    return None if charged == asked else f"{charged} was charged instead of {asked}"


CHECKS: dict[str, Callable[[Known, dict[str, Any]], str | None]] = {
    "validation": same_items,
    "inventory": all_reserved,
    "pricing": adds_up,
    "payment": charged_in_full,
}

RETRIES = {"payment": 0}
"""A payment is not talked into a second try: whatever is odd about it ends the order and is refunded."""


def system(name: str) -> str:
    """The system prompt of a specialist."""
    return SYSTEM.format(name=name, job=JOBS[name], how=HOW[name])


def order_desk(make_agent: Callable[[str, str, str], Agent], runs: Runs) -> Pipeline:
    """The five stages, whose task is an order; `make_agent(name, job, system prompt)` gives each its agent."""
    stages = [_stage(make_agent(name, job, system(name))) for name, job in JOBS.items()]
    return Pipeline(name="order", job="Takes an order through five specialists.", runs=runs, stages=stages)


def _stage(agent: Agent) -> Stage:
    name = agent.name
    return Stage(
        agent=agent,
        brief=BRIEFS[name],
        schema=SCHEMAS[name],
        check=CHECKS.get(name, accept),
        retry_count=RETRIES.get(name, 1),
    )
