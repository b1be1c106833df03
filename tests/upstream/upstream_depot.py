"""A real tool server on the SDK's low-level server, for HTTP and (run as a script) for stdio; speaks both eras."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from typing import Any

import mcp.types as t
from mcp.server import NotificationOptions, Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning

warnings.simplefilter("ignore", MCPDeprecationWarning)

FORM = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
OBJECT = {"type": "object"}
SCHEMAS = {"shelf": {"type": "object", "properties": {"number": {"type": "integer", "x-mcp-header": "Shelf"}}}}


class Depot:
    """Remembers what really happened in it: `started` and `cancelled` names of tools."""

    def __init__(self) -> None:
        self.names = ["ask", "env", "fail", "grow", "report", "sample", "shelf", "touch", "wait", "whoami"]
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.bus = InMemorySubscriptionBus()
        self.sessions: list[Any] = []
        self.server = Server(
            "depot",
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_subscribe_resource=self.subscribe,
            on_subscriptions_listen=ListenHandler(self.bus),
        )

    def app(self, **options: Any) -> Any:
        return self.server.streamable_http_app(**options)

    async def list_tools(self, ctx: ServerRequestContext, params: Any) -> t.ListToolsResult:
        tools = [t.Tool(name=name, input_schema=SCHEMAS.get(name, OBJECT)) for name in sorted(self.names)]
        start = int(params.cursor or 0) if params else 0
        end = start + 4
        return t.ListToolsResult(tools=tools[start:end], next_cursor=str(end) if end < len(tools) else None)

    async def list_resources(self, ctx: ServerRequestContext, params: Any) -> t.ListResourcesResult:
        return t.ListResourcesResult(resources=[t.Resource(name="stock", uri="depot://stock")])

    async def subscribe(self, ctx: ServerRequestContext, params: Any) -> t.EmptyResult:
        self.sessions.append(ctx.session)
        return t.EmptyResult()

    async def call_tool(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
        self.started.append(params.name)
        try:
            said = await getattr(self, f"_{params.name}")(ctx, params)
        except asyncio.CancelledError:
            self.cancelled.append(params.name)
            raise
        return said if isinstance(said, t.InputRequiredResult) else _text(said)

    async def _whoami(self, ctx: ServerRequestContext, params: Any) -> str:
        return ctx.request.headers.get("authorization", "nobody")

    async def _shelf(self, ctx: ServerRequestContext, params: Any) -> str:
        return ctx.request.headers.get("mcp-param-shelf", "no header")

    async def _env(self, ctx: ServerRequestContext, params: Any) -> str:
        return "\n".join(f"{name}={value}" for name, value in sorted(os.environ.items()))

    async def _fail(self, ctx: ServerRequestContext, params: Any) -> str:
        raise t_error(-32602, "no such shelf")

    async def _wait(self, ctx: ServerRequestContext, params: Any) -> str:
        await asyncio.sleep(float((params.arguments or {}).get("seconds", 30)))
        return "waited"

    async def _report(self, ctx: ServerRequestContext, params: Any) -> str:
        for step in (1, 2, 3):
            await ctx.session.report_progress(step, 3, f"step {step}")
        await ctx.session.send_log_message("info", "counted", related_request_id=ctx.request_id)
        return "reported"

    async def _grow(self, ctx: ServerRequestContext, params: Any) -> str:
        self.names.append("zeta")
        await self.bus.publish(ToolsListChanged())
        if ctx.protocol_version != "2026-07-28":
            await ctx.session.send_tool_list_changed()
        return "grown"

    async def _touch(self, ctx: ServerRequestContext, params: Any) -> str:
        await self.bus.publish(ResourceUpdated("depot://stock"))
        for session in self.sessions:
            await session.send_resource_updated("depot://stock")
        return "touched"

    async def _ask(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
        if ctx.protocol_version == "2026-07-28":
            if not params.input_responses:
                form = t.ElicitRequestFormParams(message="sure?", requested_schema=FORM)
                return t.InputRequiredResult(input_requests={"sure": t.ElicitRequest(params=form)})
            return params.input_responses["sure"].action
        answer = await ctx.session.elicit_form("sure?", FORM, related_request_id=ctx.request_id)
        return answer.action

    async def _sample(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> str:
        message = t.SamplingMessage(role="user", content=t.TextContent(text="think"))
        answer = await ctx.session.create_message([message], max_tokens=5, related_request_id=ctx.request_id)
        return str(answer.content.text)


def t_error(code: int, message: str) -> Exception:
    from mcp import MCPError

    return MCPError(code=code, message=message)


def _text(said: str) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(text=said)])


async def serve_stdio() -> None:
    depot = Depot()
    options = depot.server.create_initialization_options(NotificationOptions(tools_changed=True))
    async with stdio_server() as (read, write):
        await depot.server.run(read, write, options)


if __name__ == "__main__":
    print("depot starts", file=sys.stderr)
    asyncio.run(serve_stdio())
