"""Servers that speak well enough to be listed, and then misbehave on `tools/call` in one chosen way."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Behaviour = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]

TOOLS = {
    "tools": [
        {"name": "call", "inputSchema": {"type": "object"}, "x-vendor": {"kept": True}},
        {"name": "", "inputSchema": {"type": "object"}},
        {"name": "text", "inputSchema": "object"},
        {"name": "header", "inputSchema": {"type": "object", "properties": {"a": {"x-mcp-header": "no good"}}}},
        "tool",
    ]
}
DISCOVERED = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}


class Hostile:
    """`calls` counts the copies of each call that arrived, `elsewhere` requests to the redirect's target."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.calls = 0
        self.elsewhere = 0
        self.headers: list[dict[str, str]] = []

    async def start(self, port: int = 0) -> str:
        app = web.Application()
        app.router.add_post("/mcp", self.handle)
        app.router.add_post("/elsewhere", self.redirected)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", port)
        await site.start()
        self.port = self.runner.addresses[0][1]
        return f"http://127.0.0.1:{self.port}/mcp"

    async def stop(self) -> None:
        await self.runner.cleanup()

    async def redirected(self, request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        match message["method"]:
            case "server/discover":
                return result(message, DISCOVERED)
            case "tools/list":
                return result(message, TOOLS)
        self.calls += 1
        self.headers.append(dict(request.headers))
        if message["params"]["name"] == "well":
            return result(message, {"content": []})
        return await self.behave(request, message)


def result(message: Any, value: Any, content_type: str = "application/json") -> web.Response:
    body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": value})
    return web.Response(body=body.encode(), headers={"Content-Type": content_type})


def says(status: int, body: str = "", **headers: str) -> Behaviour:
    async def behave(request: web.Request, message: Any) -> web.Response:
        return web.Response(status=status, text=body, headers={"Content-Type": "text/html", **headers})

    return behave


def answers(body: Any, status: int = 200, content_type: str = "application/json") -> Behaviour:
    async def behave(request: web.Request, message: Any) -> web.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=data, headers={"Content-Type": content_type})

    return behave


def raw(data: bytes, *, close: bool = True) -> Behaviour:
    """Bytes straight on the connection, which is then cut (not closed)."""

    async def behave(request: web.Request, message: Any) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(data)
        await asyncio.sleep(0)
        if close:
            request.transport.close() if data else request.transport.abort()
        return web.Response()

    return behave


def stream(*chunks: bytes, content_type: str = "text/event-stream", **headers: str) -> Behaviour:
    async def behave(request: web.Request, message: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, **headers})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return behave


async def drip(request: web.Request, message: Any) -> web.StreamResponse:
    """A right answer, one byte at a time, with a multi-byte letter in it."""
    response = web.StreamResponse(headers={"Content-Type": "TEXT/event-stream; charset=UTF-8"})
    await response.prepare(request)
    content = [{"type": "text", "text": "größe"}]
    body = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": content}}
    data = json.dumps(body, ensure_ascii=False)
    for byte in f": hello\r\nevent: message\r\ndata: {data}\r\n\r\n".encode():
        await response.write(bytes([byte]))
    return response


async def capitals(request: web.Request, message: Any) -> web.StreamResponse:
    return result(message, {"content": [{"type": "text", "text": "größe"}]}, "Application/JSON; charset=utf-8")


def bomb(megabytes: int) -> bytes:
    return gzip.compress(b"[" * (megabytes * 1024 * 1024), 1)
