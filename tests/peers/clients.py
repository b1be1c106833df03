"""Clients that keep what a server says as it stands on the wire, unknown fields included."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp.types as t
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.client import ConnectMode
from mcp.client.streamable_http import streamable_http_client
from peers import Call, Peer
from pydantic import BaseModel, ConfigDict

ENVELOPE = ("resultType", "ttlMs", "cacheScope")
"""Fields that the modern era adds to a result; they say nothing of the tool."""
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
TIMEOUT = 20.0
"""Seconds for one request."""
FAILED: dict[str, Any] = {"isError": True}
"""Stands for a JSON-RPC error."""


class Raw(BaseModel):
    """Any result, whole."""

    model_config = ConfigDict(extra="allow")


async def _elicit(context: Any, params: t.ElicitRequestParams) -> t.ElicitResult:
    return t.ElicitResult(action="accept", content={"name": "Ada"} if params.mode == "form" else None)


async def _sample(context: Any, params: t.CreateMessageRequestParams) -> t.CreateMessageResult:
    return t.CreateMessageResult(role="assistant", model="none", content=t.TextContent(text="Hello."))


async def _roots(context: Any) -> t.ListRootsResult:
    return t.ListRootsResult(roots=[t.Root(uri="file:///tmp/root", name="root")])


def _client(server: Any, mode: ConnectMode) -> Client:
    return Client(
        server,
        mode=mode,
        cache=None,
        read_timeout_seconds=TIMEOUT,
        elicitation_callback=_elicit,
        sampling_callback=_sample,
        list_roots_callback=_roots,
    )


@asynccontextmanager
async def direct(peer: Peer) -> AsyncIterator[Client]:
    """A client of the peer itself, in a process of its own."""
    command, *arguments = peer.command
    parameters = StdioServerParameters(command=command, args=arguments, env=peer.environ)
    async with _client(parameters, "legacy") as client:
        yield client


@asynccontextmanager
async def through(url: str, headers: dict[str, str], mode: ConnectMode) -> AsyncIterator[Client]:
    """A client of the gateway."""
    timeout = httpx2.Timeout(TIMEOUT)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout) as http,
        _client(streamable_http_client(url, http_client=http), mode) as client,
    ):
        yield client


async def definitions(client: Client) -> dict[str, dict[str, Any]]:
    """Every tool by name, as listed."""
    listed: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        request = t.ListToolsRequest(params=t.PaginatedRequestParams(cursor=cursor))
        page = (await client.session.send_request(request, Raw)).model_dump()
        listed |= {tool["name"]: tool for tool in page["tools"]}
        if (cursor := page.get("nextCursor")) is None:
            return listed


async def answers(client: Client, peer: Peer) -> dict[str, dict[str, Any]]:
    """What each of the peer's calls answers, made in order from a fresh seed; keys are `n tool`."""
    peer.seed()
    return {
        f"{position} {call.tool}": _steady(peer, await _answer(client, call))
        for position, call in enumerate(peer.calls, start=1)
    }


async def _answer(client: Client, call: Call) -> dict[str, Any]:
    try:
        if call.asks:
            # Only the SDK's own method answers questions in both eras, so these results are its models.
            result = await client.call_tool(call.tool, call.arguments)
            return result.model_dump(by_alias=True, mode="json", exclude_none=True)
        request = t.CallToolRequest(params=t.CallToolRequestParams(name=call.tool, arguments=call.arguments))
        return (await client.session.send_request(request, Raw)).model_dump()
    except MCPError:
        return FAILED


def _steady(peer: Peer, result: dict[str, Any]) -> dict[str, Any]:
    """The result without its envelope and without what varies."""
    kept = {key: value for key, value in result.items() if key not in ENVELOPE}
    if meta := {key: value for key, value in kept.pop("_meta", {}).items() if key != SERVER_INFO}:
        kept["_meta"] = meta
    steady: dict[str, Any] = json.loads(peer.steady(json.dumps(kept, ensure_ascii=False)))
    return steady
