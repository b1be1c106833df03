"""A tool server on the SDK that speaks one era only and writes down what really happened in it.

python tests/bridging/workshop.py --record FILE --era legacy --port 9300    HTTP, http://127.0.0.1:PORT/mcp
python tests/bridging/workshop.py --record FILE --era legacy                stdio
"""

from __future__ import annotations

import argparse
import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import mcp.types as t
import uvicorn
from mcp import MCPError
from mcp.server import NotificationOptions, Server
from mcp.server.context import CallNext
from mcp.server.models import InitializationOptions
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import Receive, Scope, Send
from workshop_tools import OBJECT, SCHEMAS, TOOLS, VENDOR, Context, Job, Pending, whole

Era = Literal["legacy", "modern"]
NOTES = {f"workshop://note/{number}": f"Note {number}." for number in (1, 2, 3)}
CHANGED = {"tools": ToolsListChanged, "resources": ResourcesListChanged, "prompts": PromptsListChanged}


class Workshop(Server[dict[str, Any]]):
    """`record` is the file of what happened, a JSON object a line: `{what, tool, version, arguments, ...}`."""

    def __init__(self, era: Era, record: Path) -> None:
        self.era = era
        self.bus = InMemorySubscriptionBus()
        self.extra: set[str] = set()
        self.watchers: list[Any] = []
        self._record = record.open("a", buffering=1)
        super().__init__(
            "workshop",
            version="1.0.0",
            instructions="Use the bench.",
            on_list_tools=enveloped(self._list_tools),
            on_call_tool=enveloped(self._call_tool),
            on_list_resources=enveloped(self._list_resources),
            on_list_resource_templates=enveloped(self._list_templates),
            on_read_resource=enveloped(self._read),
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_list_prompts=enveloped(self._list_prompts),
            on_get_prompt=enveloped(self._get_prompt),
            on_completion=enveloped(self._complete),
            on_set_logging_level=self._set_level,
            on_subscriptions_listen=ListenHandler(self.bus),
        )
        self.middleware.append(self._unsieved)

    def record(self, what: str, ctx: Context, **more: Any) -> None:
        self._record.write(json.dumps({"what": what, "version": ctx.protocol_version, **more}) + "\n")

    def create_initialization_options(self, *_: Any, **__: Any) -> InitializationOptions:
        return super().create_initialization_options(
            NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        )

    async def _unsieved(self, ctx: Context, call_next: CallNext) -> Any:
        """Results with fields the SDK's models do not know, which they would drop."""
        params = ctx.params or {}
        if ctx.method == "tools/call" and (result := whole(str(params.get("name")), self.era)) is not None:
            self.record(
                "started", ctx, tool=params["name"], arguments=params.get("arguments") or {}, meta=_meta(params)
            )
            return result
        result = await call_next(ctx)
        if ctx.method == "tools/list" and isinstance(result, dict):
            result["tools"] = [{**tool, **VENDOR} for tool in result["tools"]]
        return result

    async def _list_tools(self, ctx: Context, params: Any) -> dict[str, Any]:
        names = [*TOOLS, *(["spare"] if "tools" in self.extra else [])]
        tools = [
            {"name": name, "description": f"{name}.", "inputSchema": SCHEMAS.get(name, {"type": "object"})}
            for name in names
        ]
        if self.era == "modern":  # an output that is no object can only be declared in this era
            output = {"inputSchema": OBJECT, "outputSchema": {"type": "array"}}
            tools += [{"name": name, **output} for name in ("row", "bare_row")]
        return {"tools": tools}

    async def _call_tool(self, ctx: Context, params: t.CallToolRequestParams) -> dict[str, Any]:
        job = Job(self, ctx, params)
        job.record("started", meta=_meta(ctx.params or {}))
        try:
            return await TOOLS[params.name](job)
        except Pending as pending:
            return pending.result
        except asyncio.CancelledError:
            job.record("cancelled")
            raise

    async def _list_resources(self, ctx: Context, params: Any) -> dict[str, Any]:
        uris = [*NOTES, *(["workshop://spare"] if "resources" in self.extra else [])]
        return {"resources": [{"uri": uri, "name": uri[11:], "mimeType": "text/plain"} for uri in uris]}

    async def _list_templates(self, ctx: Context, params: Any) -> dict[str, Any]:
        return {"resourceTemplates": [{"uriTemplate": "workshop://note/{number}", "name": "note"}]}

    async def _read(self, ctx: Context, params: t.ReadResourceRequestParams) -> dict[str, Any]:
        if params.uri == "workshop://note/404":
            raise MCPError(-32602 if self.era == "modern" else -32002, "There is no such note.", {"uri": params.uri})
        text = NOTES.get(params.uri, f"Any note: {params.uri}")
        return {"contents": [{"uri": params.uri, "mimeType": "text/plain", "text": text}]}

    async def _subscribe(self, ctx: Context, params: Any) -> t.EmptyResult:
        if params.uri == "workshop://note/3":
            raise MCPError(-32602, "This note is not watched.")
        self.record("subscribed", ctx, uri=params.uri)
        self.watchers.append(ctx.session)
        return t.EmptyResult()

    async def _unsubscribe(self, ctx: Context, params: Any) -> t.EmptyResult:
        self.record("unsubscribed", ctx, uri=params.uri)
        self.watchers.clear()
        return t.EmptyResult()

    async def _list_prompts(self, ctx: Context, params: Any) -> dict[str, Any]:
        greet = {"name": "greet", "arguments": [{"name": "who", "required": True}]}
        return {"prompts": [greet, {"name": "plain"}, *([{"name": "spare"}] if "prompts" in self.extra else [])]}

    async def _get_prompt(self, ctx: Context, params: t.GetPromptRequestParams) -> dict[str, Any]:
        text = f"Greet {(params.arguments or {}).get('who', 'nobody')}."
        return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}

    async def _complete(self, ctx: Context, params: t.CompleteRequestParams) -> dict[str, Any]:
        words = [word for word in ("ada", "adam", "bob") if word.startswith(params.argument.value)]
        return {"completion": {"values": words, "total": len(words), "hasMore": False}}

    async def _set_level(self, ctx: Context, params: Any) -> t.EmptyResult:
        return t.EmptyResult()

    async def change(self, ctx: Context, kind: str) -> None:
        """Add an entry to a list, or take it away again, and tell everybody."""
        self.extra ^= {kind}
        await self.bus.publish(CHANGED[kind]())
        if self.era == "legacy":
            await getattr(ctx.session, f"send_{kind[:-1]}_list_changed")()

    async def touch(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri))
        for session in self.watchers:
            await session.send_resource_updated(uri)


def enveloped(handler: Callable[[Context, Any], Awaitable[dict[str, Any]]]) -> Any:
    """The handler, with what the modern era wants around each result; the SDK drops it in the legacy era."""

    async def answer(ctx: Context, params: Any) -> dict[str, Any]:
        return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **await handler(ctx, params)}

    return answer


def _meta(params: Any) -> dict[str, Any]:
    return dict(params.get("_meta") or {})


def one_era(app: Any, era: Era) -> Any:
    """The app, deaf to requests of the other era: whatever reaches it came in this one."""

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            version = dict(scope["headers"]).get(b"mcp-protocol-version", b"").decode()
            modern = bool(version) and version not in HANDSHAKE_PROTOCOL_VERSIONS
            if modern != (era == "modern"):
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return gate


async def over_stdio(workshop: Workshop) -> None:
    async with stdio_server() as (read, write):
        await workshop.run(read, write, workshop.create_initialization_options())


def main() -> None:
    parser = argparse.ArgumentParser(description="A tool server that writes down what happened in it.")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--era", choices=("legacy", "modern"), required=True)
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    workshop = Workshop(arguments.era, arguments.record)
    if arguments.port is None:
        asyncio.run(over_stdio(workshop))
    else:
        app = one_era(workshop.streamable_http_app(), arguments.era)
        uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="error", timeout_graceful_shutdown=0)


if __name__ == "__main__":
    main()
