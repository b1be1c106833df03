"""A real MCP server over HTTP that stands where the gateway stands, with a recorder inside."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.types import ASGIApp, Receive, Scope, Send

PRODUCTS = {"LAMP-01": (4900, 1200), "DESK-02": (39900, 28000), "CHAIR-03": (18900, 14500), "MUG-04": (1200, 350)}


@dataclass(frozen=True)
class Recorded:
    """One tools/call as it arrived, with when it began and ended (seconds, monotonic)."""

    tool: str
    arguments: dict[str, Any]
    token: str
    meta: dict[str, Any]
    began: float
    ended: float = 0.0


@dataclass
class FakeGateway:
    """What the server was asked, and `instead`: results given in place of a tool's own."""

    calls: list[Recorded] = field(default_factory=list)
    instead: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    breaks: str = ""
    """The tool whose answers break off half way."""
    url: str = ""

    def tools(self) -> list[str]:
        return [call.tool for call in self.calls]

    def refuse(self, tool: str, text: str, reason: str = "denied") -> None:
        refusal = {"toolgate/refusal": {"reason": reason, "call": "c1"}}
        self.answer(tool, {"content": [{"type": "text", "text": text}], "isError": True, "_meta": refusal})

    def answer(self, tool: str, result: dict[str, Any]) -> None:
        self.instead[tool] = lambda arguments: result

    async def record(self, ctx: Any, call_next: Any) -> Any:
        if ctx.method != "tools/call":
            return await call_next(ctx)
        params = ctx.params
        token = ctx.request.headers["authorization"].removeprefix("Bearer ")
        seen = Recorded(params["name"], params.get("arguments") or {}, token, params["_meta"], time.monotonic())
        self.calls.append(seen)
        place = len(self.calls) - 1
        try:
            if seen.tool in self.instead:
                return {"resultType": "complete", **self.instead[seen.tool](seen.arguments)}
            return await call_next(ctx)
        finally:
            self.calls[place] = replace(seen, ended=time.monotonic())


@contextmanager
def running(gateway: FakeGateway) -> Iterator[FakeGateway]:
    """Serve on a free port; the socket listens before the server thread starts, so nothing has to wait."""
    server = MCPServer("fake", log_level="WARNING", middleware=[gateway.record])
    for tool in shop_tools():
        gated = tool.__name__ == "payment__refund_card"  # published without an output schema, as gated tools are
        server.add_tool(tool, name=tool.__name__, structured_output=not gated)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gateway.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        app = front(server.streamable_http_app(), gateway)
        uvicorn_server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield gateway
        finally:
            uvicorn_server.should_exit = True
            thread.join(10)


def front(app: ASGIApp, gateway: FakeGateway) -> ASGIApp:
    """401 for every token that does not start with `tok-`, and half an answer for the tool that breaks."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", []))
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif not headers.get(b"authorization", b"").startswith(b"Bearer tok-"):
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        elif gateway.breaks and headers.get(b"mcp-name") == gateway.breaks.encode():
            start = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": start})
            await send({"type": "http.response.body", "body": b'{"jsonrpc":', "more_body": True})
        else:
            await app(scope, receive, send)

    return checked


def shop_tools() -> list[Callable[..., Any]]:
    """Small stand-ins for the tools of the shop, with the shop's names and shapes."""
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

    return [tool for name, tool in locals().items() if "__" in name]
