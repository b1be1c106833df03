"""MCP clients on bare HTTP: what goes out and what comes back are the very bytes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}
HELLO = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
_NAMED = {
    **{"tools/call": "name", "prompts/get": "name", "resources/read": "uri"},
    **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel"), "taskId"),
}
"""What stands in the header Mcp-Name, by method."""


@asynccontextmanager
async def pool() -> AsyncIterator[aiohttp.ClientSession]:
    """Connections without bound; a request takes at most half a minute."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as session:
        yield session


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response. `message` is the JSON-RPC response in it, empty when there is none."""

    status: int
    message: dict[str, Any]
    seconds: float
    raw: bytes

    @property
    def result(self) -> dict[str, Any]:
        assert "result" in self.message, self
        return dict(self.message["result"])

    @property
    def text(self) -> str:
        return str(self.result["content"][0]["text"])

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.message.get("result", {"isError": True}).get("isError")

    @property
    def reason(self) -> str | None:
        """Why the gateway refused, None when it did not."""
        refusal = self.message.get("result", {}).get("_meta", {}).get("toolgate/refusal")
        refusal = refusal or self.message.get("error", {}).get("data")
        return refusal.get("reason") if isinstance(refusal, dict) else None


@dataclass(frozen=True, slots=True)
class Modern:
    """One agent speaking 2026-07-28."""

    session: aiohttp.ClientSession
    url: str
    headers: Mapping[str, str]

    async def request(self, method: str, params: Mapping[str, Any], *, id: Any = 1, **meta: Any) -> Reply:
        return await post(self.session, self.url, *self.message(method, params, id, **meta))

    def message(self, method: str, params: Mapping[str, Any], id: Any, **meta: Any) -> tuple[dict[str, str], bytes]:
        """Headers and body of a request."""
        headers = {**self.headers, "MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        if method in _NAMED:
            headers["Mcp-Name"] = params[_NAMED[method]]
        body = {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": {**ENVELOPE, **meta}}}
        return headers, json.dumps(body).encode()

    async def call(self, tool: str, arguments: Mapping[str, Any], *, id: Any = 1, **meta: Any) -> Reply:
        return await self.request("tools/call", {"name": tool, "arguments": arguments}, id=id, **meta)

    async def tools(self) -> list[str]:
        return [tool["name"] for tool in (await self.request("tools/list", {})).result["tools"]]

    async def listen(self, heard: list[str], ready: asyncio.Event) -> None:
        """Note the methods of what a `subscriptions/listen` stream says, until it ends."""
        headers, body = self.message("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, "s")
        async with self.session.post(self.url, headers={**_JSON, **headers}, data=body) as response:
            async for line in response.content:
                if line.startswith(b"data:"):
                    heard.append(json.loads(line[5:])["method"])
                    ready.set()


@dataclass(slots=True)
class Legacy:
    """One agent speaking 2025-11-25; `open` makes its session."""

    session: aiohttp.ClientSession
    url: str
    headers: Mapping[str, str]
    extra: dict[str, str] = field(default_factory=dict)

    async def open(self, **capabilities: Any) -> None:
        hello = _body("initialize", {**HELLO, "capabilities": capabilities}, 0)
        async with self.session.post(self.url, headers={**_JSON, **self.headers}, data=hello) as response:
            assert response.status == 200, await response.text()
            self.extra = {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": response.headers["Mcp-Session-Id"]}
            await response.read()
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
        assert (await post(self.session, self.url, {**self.headers, **self.extra}, note)).status == 202

    async def request(self, method: str, params: Mapping[str, Any], *, id: Any = 1) -> Reply:
        return await post(self.session, self.url, {**self.headers, **self.extra}, _body(method, params, id))

    async def call(self, tool: str, arguments: Mapping[str, Any], *, id: Any = 1) -> Reply:
        return await self.request("tools/call", {"name": tool, "arguments": arguments}, id=id)


_JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def _body(method: str, params: Mapping[str, Any], id: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()


async def post(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """One POST, read to its end."""
    begun = time.monotonic()
    async with session.post(url, headers={**_JSON, **headers}, data=body) as response:
        raw = await response.read()
    return Reply(response.status, _answer(response.content_type, raw), time.monotonic() - begun, raw)


def _answer(kind: str, raw: bytes) -> dict[str, Any]:
    if kind != "text/event-stream":
        return dict(json.loads(raw)) if raw and kind == "application/json" else {}
    data = [line[5:] for line in raw.splitlines() if line.startswith(b"data:") and line[5:].strip()]
    answers = [message for message in map(json.loads, data) if "method" not in message]
    return dict(answers[-1]) if answers else {}


async def eventually(condition: Callable[[], Any], seconds: float) -> float:
    """Wait until a condition, or what it returns to be awaited, holds; the seconds it took. Raises TimeoutError."""
    begun = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if await held if asyncio.iscoroutine(held) else held:
                return time.monotonic() - begun
            await asyncio.sleep(0.02)
