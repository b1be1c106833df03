"""Requests to the gateway byte by byte, where an SDK client would be too well-behaved."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
PREFIX = "io.modelcontextprotocol/"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def envelope(capabilities: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """`_meta` of a modern request."""
    return {f"{PREFIX}protocolVersion": MODERN, f"{PREFIX}clientCapabilities": capabilities or {}, **more}


def request(method: str, params: dict[str, Any] | None = None, id: Any = 1) -> dict[str, Any]:
    """A modern request; `_meta` is added where `params` has none."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": {"_meta": envelope(), **(params or {})}}


def headers_of(message: dict[str, Any]) -> dict[str, str]:
    """The headers that mirror a modern request."""
    method = message["method"]
    head = {**ACCEPT, "MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    key = NAMED.get(method)
    return {**head, "Mcp-Name": str(message["params"].get(key))} if key else head


def messages(body: str) -> list[dict[str, Any]]:
    """The messages of an event stream, priming events and comments left out."""
    lines = [line[6:] for line in body.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line]


class Wire:
    """Sends what it is told to one face."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def send(self, method: str, body: Any = None, headers: Any = None) -> tuple[int, Any, Any]:
        """Status, headers, and the body: parsed where it is JSON, a list of messages where it is an event stream."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with self.session.request(method, self.url, data=data, headers=headers) as response:
            text = await response.text()
            kind = response.content_type
            if kind == "text/event-stream":
                return response.status, response.headers, messages(text)
            return response.status, response.headers, json.loads(text) if text and kind == "application/json" else text

    async def ask(self, method: str, params: dict[str, Any] | None = None, id: Any = 1, **headers: str) -> Any:
        """A proper modern request; `headers` replace those that are proper, underscores standing for dashes."""
        message = request(method, params, id)
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send("POST", message, {**headers_of(message), **changed})

    async def initialize(self, capabilities: dict[str, Any] | None = None) -> dict[str, str]:
        """Open a legacy session; the headers of its requests."""
        params = {
            "protocolVersion": LEGACY,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "w", "version": "1"},
        }
        hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        _, answered, _ = await self.send("POST", hello, ACCEPT)
        session = {**ACCEPT, "Mcp-Session-Id": answered["Mcp-Session-Id"], "MCP-Protocol-Version": LEGACY}
        await self.send("POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
        return session


@asynccontextmanager
async def wired(url: str, headers: dict[str, str] | None = None) -> AsyncIterator[Wire]:
    timeout = aiohttp.ClientTimeout(total=8)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Wire(session, url)
