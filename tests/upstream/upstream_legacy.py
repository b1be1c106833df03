"""A legacy-era HTTP server in which each corner of the protocol can be played."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from upstream_hostile import result

Behaviour = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]

TOOLS = {"tools": [{"name": "call", "inputSchema": {"type": "object"}}]}


class Legacy:
    """What arrived: `posts` by method, `answers` to its questions. Say something on the open GET stream: `say`."""

    def __init__(self, behave: Behaviour | None = None, *, offers_stream: bool = True) -> None:
        self.behave = behave
        self.offers_stream = offers_stream
        self.resume: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.sessions: set[str] = set()
        self.opened = 0
        self.deleted: list[str] = []
        self.posts: list[tuple[str, Any]] = []
        self.answers: list[Any] = []
        self.streams: set[web.StreamResponse] = set()

    async def start(self, port: int = 0) -> str:
        app = web.Application()
        app.router.add_post("/mcp", self.post)
        app.router.add_get("/mcp", self.get)
        app.router.add_delete("/mcp", self.delete)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}/mcp"

    async def stop(self) -> None:
        await self.runner.cleanup()

    def count(self, method: str) -> int:
        return [name for name, _ in self.posts].count(method)

    async def post(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        method = message.get("method")
        if method is None:
            self.answers.append(message)
            return web.Response(status=202)
        if method == "server/discover":
            return web.Response(status=400, text="Bad Request: no session")
        if method == "initialize":
            return self.initialize(message)
        if request.headers.get("Mcp-Session-Id") not in self.sessions:
            return web.Response(status=404, text="no such session")
        self.posts.append((method, message.get("params")))
        if "id" not in message:
            return web.Response(status=202)
        if method == "tools/call" and self.behave is not None:
            return await self.behave(request, message)
        return result(message, TOOLS if method == "tools/list" else {})

    def initialize(self, message: Any) -> web.Response:
        self.opened += 1
        session = f"session-{self.opened}"
        self.sessions.add(session)
        assert {"elicitation", "sampling", "roots"} <= set(message["params"]["capabilities"])
        hello = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": True}}}
        response = result(message, {**hello, "serverInfo": {"name": "legacy", "version": "1"}})
        response.headers["Mcp-Session-Id"] = session
        return response

    async def get(self, request: web.Request) -> web.StreamResponse:
        if "Last-Event-ID" in request.headers and self.resume is not None:
            return await self.resume(request)
        if not self.offers_stream:
            return web.Response(status=405)
        response = await stream(request)
        self.streams.add(response)
        try:
            await asyncio.Event().wait()
        finally:
            self.streams.discard(response)
        return response

    async def delete(self, request: web.Request) -> web.Response:
        self.deleted.append(request.headers["Mcp-Session-Id"])
        return web.Response()

    async def say(self, message: Any) -> None:
        for response in self.streams:
            await response.write(event(message))


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def event(message: Any, **fields: Any) -> bytes:
    lines = [f"{name}: {value}\n" for name, value in fields.items()]
    data = "" if message is None else json.dumps({"jsonrpc": "2.0", **message})
    return ("".join(lines) + f"data: {data}\n\n").encode()
