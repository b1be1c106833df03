"""The agent's tools: one MCP connection to the gateway, and MCP results as Messages API blocks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from ssl import SSLContext
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from agents.run import Block

NOT_SENT = 52_001
UNAUTHORIZED = 52_002
LOST = 52_003
NOT_RUN = {NOT_SENT, UNAUTHORIZED, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND}
IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MARK = "toolgate__mark_run"
ROLLBACK = "toolgate__rollback"
RUNTIME = {MARK, ROLLBACK}
"""Tools of the gateway that are for whoever runs the agent: its model is not offered them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool call came to. `content` is never empty; `meta` is the result's `_meta`."""

    content: list[Block]
    is_error: bool
    meta: Mapping[str, Any]
    structured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.content if block["type"] == "text")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools one token can see. `definitions` are Messages API tools for the model, sorted to keep prompts cached;
    `own` are the names of those that it is not offered.

    `lease` is in seconds. Only an agent that may say how a run ended has one: else a good end would be undone as well.
    """

    client: Client | None = None
    definitions: Sequence[dict[str, Any]] = ()
    own: frozenset[str] = frozenset()
    seconds: float = 0.0
    lease: float | None = None

    async def call(self, name: str, arguments: dict[str, Any], *, run: str, key: str) -> Answer:
        """Call a tool, under an idempotency key. Never raises for what the tool or the network does."""
        meta: dict[str, Any] = {"toolgate/run": run, "toolgate/key": key}
        if self.lease is not None and MARK in self.own:
            meta["toolgate/lease"] = self.lease
        return await self._call(name, arguments, meta)

    async def tell(self, name: str, **arguments: Any) -> Answer | None:
        """Call a tool of RUNTIME; None when the agent may not use it. Never raises, as `call`."""
        return await self._call(name, arguments, None) if name in self.own else None

    async def _call(self, name: str, arguments: dict[str, Any], meta: dict[str, Any] | None) -> Answer:
        if self.client is None:
            return Answer([_text(f"There is no tool {name}: you have none.")], is_error=True, meta={})
        try:
            result = await self.client.call_tool(name, arguments, self.seconds, meta=cast(Any, meta))
        except Exception as error:  # whatever it is, the model must learn that this call has no result
            return Answer([_text(_failure(error))], is_error=True, meta={})
        return Answer(render(result), bool(result.is_error), result.meta or {}, result.structured_content or {})


@asynccontextmanager
async def open_tools(gateway: str, token: str, seconds: float, lease: float | None = None) -> AsyncIterator[Tools]:
    """Connect to the gateway's MCP endpoint as the agent of `token`. `seconds` bounds every request.

    Raises MCPError (or a group that holds one) when the gateway is away or does not take the token.
    """
    http = _Guarded(
        headers={"Authorization": f"Bearer {token}"},
        timeout=httpx2.Timeout(30.0, read=300.0),
        verify=_tls(),
        trust_env=urlsplit(gateway).hostname not in LOOPBACK,  # a proxy must not catch loopback traffic
    )
    async with (
        http,
        Client(streamable_http_client(gateway, http_client=http), cache=None, read_timeout_seconds=seconds) as client,
    ):
        offered = await _definitions(client)
        own = frozenset(each["name"] for each in offered) & RUNTIME
        shown = [each for each in offered if each["name"] not in own]
        yield Tools(client, shown, own, seconds, lease)


@cache
def _tls() -> SSLContext:
    return httpx2.create_ssl_context()  # 40 ms of CPU, so once and not per connection


async def _definitions(client: Client) -> list[dict[str, Any]]:
    tools, cursor = [], None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        if (cursor := page.next_cursor) is None:
            break
    return [
        {"name": tool.name, "description": tool.description or "", "input_schema": tool.input_schema}
        for tool in sorted(tools, key=lambda tool: tool.name)
    ]


def render(result: CallToolResult) -> list[Block]:
    """An MCP result as tool_result content: texts and images as they are, the rest as a line about it."""
    blocks = [_block(content) for content in result.content]
    if not blocks and result.structured_content is not None:
        blocks = [_text(json.dumps(result.structured_content))]
    # The API refuses empty text, and an error without content.
    return [block for block in blocks if block.get("text") != ""] or [_text("(no content)")]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _block(content: ContentBlock) -> Block:
    match content:
        case TextContent(text=text):
            return _text(text)
        case ImageContent(mime_type=kind, data=data) if kind in IMAGES:
            return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
        case ResourceLink(name=name, uri=uri):
            return _text(f"[resource link: {name}, {uri}]")
        case EmbeddedResource(resource=TextResourceContents(uri=uri, text=text)):
            return _text(f"[resource {uri}]\n{text}")
        case EmbeddedResource(resource=resource):
            return _text(f"[resource {resource.uri}: {resource.mime_type or 'binary'}, not shown]")
        case _:
            return _text(f"[{content.type}: {getattr(content, 'mime_type', 'unknown kind')}, not shown]")


def reason(error: BaseException) -> str:
    """One line for an exception; of a group, its first leaf; of an API error, the API's own words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return getattr(error, "api_message", None) or str(error) or type(error).__name__


def _failure(error: Exception) -> str:
    if isinstance(error, MCPError) and error.code in NOT_RUN:
        return f"The tool did not run: {reason(error)}."
    return (
        f"No usable answer: {reason(error)}. Whether the tool ran is not known; "
        "find out with a tool that only reads before you call it again."
    )


class _Guarded(httpx2.AsyncClient):
    """Turns a transport failure into a JSON-RPC error of that request; the SDK would lose the connection."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        try:
            response = await super().send(request, **options)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return _rejected(request, 503, NOT_SENT, f"the gateway is not there ({type(error).__name__})")
        except httpx2.TransportError as error:
            return _rejected(request, 503, LOST, f"the gateway did not answer ({type(error).__name__})")
        if response.status_code == 401:
            await response.aclose()
            return _rejected(request, 401, UNAUTHORIZED, "the gateway refuses this agent's token (401)")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _GuardedStream(response.stream)
        return response


class _GuardedStream(httpx2.AsyncByteStream):
    """A body that breaks off ends, so that only the request it answers fails."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except httpx2.TransportError:
            return

    async def aclose(self) -> None:
        await self._inner.aclose()


def _rejected(request: httpx2.Request, status: int, code: int, message: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(status, request=request, json=error)
