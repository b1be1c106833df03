"""An MCP server whose tools write down each execution: a till that pays, asks, takes its time."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mcp.types as t
from mcp.server import ServerRequestContext
from mcp_types import CLIENT_CAPABILITIES_META_KEY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from recorder import Recorder

_AMOUNT = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
_PAID = {"type": "object", "properties": {"paid": {"type": "integer"}}, "required": ["paid"]}
_QUESTION = {"type": "object", "properties": {"name": {"type": "string"}}}
TOOLS = (
    t.Tool(name="pay", description="Pays.", input_schema=_AMOUNT, output_schema=_PAID),
    t.Tool(name="refund", description="Gives money back.", input_schema=_AMOUNT),
    t.Tool(name="confirm", description="Asks for a name, then pays.", input_schema=_AMOUNT),
    t.Tool(name="count", description="Tells what is in the till.", input_schema={"type": "object"}),
)


class Till(Recorder):
    async def list_tools(self, ctx: ServerRequestContext, params: Any) -> t.ListToolsResult:
        return t.ListToolsResult(tools=list(TOOLS))

    async def call_tool(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
        arguments, meta = params.arguments or {}, ctx.meta or {}
        name = "nobody"
        if params.name == "confirm":
            answer = await self._ask(ctx, params)
            if isinstance(answer, t.InputRequiredResult):
                return answer
            name = answer
        capabilities = meta.get(CLIENT_CAPABILITIES_META_KEY, {})
        self.write(tool=params.name, arguments=arguments, name=name, capabilities=capabilities)
        paid = arguments.get("amount", 0)
        structured = {"paid": paid} if params.name == "pay" else None
        text = t.TextContent(text=f"{params.name} {paid} {name}")
        return t.CallToolResult(content=[text], structured_content=structured)

    async def _ask(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> str | t.InputRequiredResult:
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            answered = await ctx.session.elicit_form("Who?", _QUESTION, related_request_id=ctx.request_id)
            return str((answered.content or {}).get("name"))
        given = (params.input_responses or {}).get("who")
        if given is None:
            asked = t.ElicitRequest(params=t.ElicitRequestFormParams(message="Who?", requested_schema=_QUESTION))
            return t.InputRequiredResult(input_requests={"who": asked}, request_state="asked")
        return str((given.content or {}).get("name"))  # type: ignore[union-attr]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("record", type=Path)
    given = parser.parse_args(arguments)
    asyncio.run(Till(given.name, given.record).serve_stdio(stubborn=False))


if __name__ == "__main__":
    main()
