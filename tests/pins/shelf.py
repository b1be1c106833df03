"""A tool server on stdio whose tools are what a JSON file says at the moment; each call is also news of a change."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import mcp.types as t
from mcp.server import NotificationOptions, Server, ServerRequestContext
from mcp.server.stdio import stdio_server


def read(definitions: Path) -> Any:
    return json.loads(definitions.read_text())


def main(definitions: Path, calls: Path) -> None:
    async def list_tools(ctx: ServerRequestContext, params: Any) -> t.ListToolsResult:
        return t.ListToolsResult.model_validate({"tools": read(definitions)})

    async def call_tool(ctx: ServerRequestContext, params: t.CallToolRequestParams) -> t.CallToolResult:
        with calls.open("a") as file:
            file.write(params.name + "\n")
        await ctx.session.send_tool_list_changed()
        return t.CallToolResult(content=[t.TextContent(text="done")])

    async def serve() -> None:
        server = Server("shelf", on_list_tools=list_tools, on_call_tool=call_tool)
        options = server.create_initialization_options(NotificationOptions(tools_changed=True))
        async with stdio_server() as (read, write):
            await server.run(read, write, options)

    asyncio.run(serve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
