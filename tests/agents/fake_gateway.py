"""A real MCP server over HTTP that stands where the gateway stands, with a recorder inside."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fake_shop import TOOLS
from mcp.server.mcpserver import MCPServer
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True)
class Recorded:
    """One tools/call as it arrived."""

    tool: str
    arguments: dict[str, Any]
    token: str
    meta: dict[str, Any]


@dataclass
class FakeGateway:
    """What the server was asked, and `instead`: results given in place of a tool's own.

    `own` are the calls of the gateway's own tools; `hidden` are the tools that nobody is shown.
    """

    calls: list[Recorded] = field(default_factory=list)
    own: list[Recorded] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    instead: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    breaks: str = ""
    """The tool whose answers break off half way."""
    url: str = ""

    def tools(self) -> list[str]:
        return [call.tool for call in self.calls]

    def marks(self) -> list[tuple[str, str]]:
        """Each run that was marked or rolled back, and as what, in order."""
        return [(call.arguments["run"], call.arguments.get("state", "rollback")) for call in self.own]

    def refuse(self, tool: str, text: str, reason: str = "denied") -> None:
        refusal = {"toolgate/refusal": {"reason": reason, "call": "c1"}}
        self.answer(tool, {"content": [{"type": "text", "text": text}], "isError": True, "_meta": refusal})

    def answer(self, tool: str, result: dict[str, Any]) -> None:
        self.instead[tool] = lambda arguments: result

    def meet(self, tool: str, count: int) -> None:
        """Have the first calls of a tool answered when so many have come."""
        arrived, all_here = [], asyncio.Event()

        async def meet(arguments: dict[str, Any]) -> dict[str, Any]:
            arrived.append(arguments)
            if len(arrived) >= count:
                all_here.set()
            await asyncio.wait_for(all_here.wait(), 20)
            return {"content": [{"type": "text", "text": json.dumps(arguments)}], "structuredContent": arguments}

        self.instead[tool] = meet

    async def record(self, ctx: Any, call_next: Any) -> Any:
        if ctx.method == "tools/list":
            listed = await call_next(ctx)
            shown = [tool for tool in listed["tools"] if tool["name"] not in self.hidden]
            return {**listed, "tools": shown}
        if ctx.method != "tools/call":
            return await call_next(ctx)
        params = ctx.params
        token = ctx.request.headers["authorization"].removeprefix("Bearer ")
        seen = Recorded(params["name"], params.get("arguments") or {}, token, params.get("_meta") or {})
        (self.own if seen.tool.startswith("toolgate__") else self.calls).append(seen)
        if seen.tool not in self.instead:
            return await call_next(ctx)
        result = self.instead[seen.tool](seen.arguments)
        return {"resultType": "complete", **(await result if inspect.isawaitable(result) else result)}


def undone(run: str, *tools: str, waiting: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the gateway answers to a rollback that undid calls of `tools`, and left those in `waiting` to people."""
    calls = [{"call": "c1", "server": "inventory", "tool": tool} for tool in tools]
    stuck = [{"call": "c2", "server": "inventory", "tool": tool, "ticket": "T1"} for tool in waiting]
    told = {"run": run, "state": "rolled_back", "undone": calls, "waiting": stuck, "left": []}
    return {"content": [{"type": "text", "text": f"{run} is undone."}], "structuredContent": told}


@contextmanager
def running(gateway: FakeGateway) -> Iterator[FakeGateway]:
    """Serve on a free port; the socket listens before the server thread starts, so nothing has to wait."""
    server = MCPServer("fake", log_level="WARNING", middleware=[gateway.record])
    for tool in TOOLS:
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
