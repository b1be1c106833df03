"""The fixture tools that the conformance suite's scenarios about tasks want, in the modern era, over stdio."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp.types as t
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

TOOLS = ("greet", "slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input")
_ASKED = {"confirm_delete": ("confirm",), "multi_input": ("first", "second")}
_QUESTION = {"type": "object", "properties": {"confirm": {"type": "boolean"}}}


async def list_tools(ctx: ServerRequestContext, params: Any) -> t.ListToolsResult:
    return t.ListToolsResult(tools=[t.Tool(name=name, input_schema={"type": "object"}) for name in TOOLS])


async def call_tool(ctx: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
    arguments = params.arguments or {}
    match params.name:
        case "greet":
            return _text(f"Hello, {arguments.get('name')}!")
        case "slow_compute":
            await asyncio.sleep(arguments.get("seconds", 0))
            return _text("computed")
        case "failing_job":
            return t.CallToolResult(content=[t.TextContent(text="The job failed.")], is_error=True)
        case "protocol_error_job":
            raise MCPError(-32042, "The job needs a URL to be visited.")
    names = _ASKED[params.name]
    given = params.input_responses or {}
    if not set(names) <= given.keys():
        form = t.ElicitRequestFormParams(message="Sure?", requested_schema=_QUESTION)
        requests = {name: t.ElicitRequest(params=form) for name in names}
        return t.InputRequiredResult(input_requests=requests, request_state="asked")
    return _text(f"{params.name} was confirmed")


def _text(text: str) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(text=text)])


async def main() -> None:
    server = Server("fixture", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
