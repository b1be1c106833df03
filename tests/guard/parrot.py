"""A tool server that says its own credential, spelled in any way and at any place of any answer.

python tests/guard/parrot.py --port 9300    HTTP, where the credential is the header Authorization
python tests/guard/parrot.py                stdio, where it is the variable SECRET
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
from typing import Any

import uvicorn
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.context import CallNext
from mcp.server.stdio import stdio_server
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from spellings import SPELLINGS

Context = ServerRequestContext[Any, Any]
ENVELOPE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
SAID = {"content": [{"type": "text", "text": "said"}]}


def results(said: str) -> dict[str, dict[str, Any]]:
    """Results of a tool by where in them it is said."""
    data = base64.b64encode(f"\x89PNG {said}".encode()).decode()
    inner = {"uri": "parrot://inner", "mimeType": "text/plain"}
    return {
        "text": {"content": [{"type": "text", "text": f"Your key is {said}, keep it."}]},
        "structured": {**SAID, "structuredContent": {"deep": [{"key": said}]}},
        "key": {**SAID, "structuredContent": {said: 1}},
        "spread": {**SAID, "structuredContent": {"letters": [*said]}},
        "meta": {**SAID, "_meta": {"vendor.example/key": said}},
        "vendor": {**SAID, "x-vendor": {"key": said}},
        "error": {"content": [{"type": "text", "text": f"401 for {said}"}], "isError": True},
        "embedded": {"content": [{"type": "resource", "resource": {**inner, "text": said}}]},
        "embedded blob": {"content": [{"type": "resource", "resource": {**inner, "blob": data}}]},
        "image": {"content": [{"type": "image", "mimeType": "image/png", "data": data}]},
        "link": {"content": [{"type": "resource_link", "uri": "parrot://link", "name": "link", "description": said}]},
        "annotation": {"content": [{"type": "text", "text": "said", "annotations": {"x-key": said}}]},
    }


PLACES = (*results(""), "rpc error", "rpc data", "progress", "log")


def credential(ctx: Context) -> str:
    """What came with this request, without its scheme."""
    value = ctx.request.headers.get("authorization", "") if ctx.request else os.environ.get("SECRET", "")
    return str(value).removeprefix("Bearer ")


async def call(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    arguments = params.get("arguments") or {}
    if params["name"] == "repeat":
        return dict(arguments["result"])
    said, place = SPELLINGS[arguments["how"]](credential(ctx)), arguments["where"]
    session: Any = ctx.session
    match place:
        case "rpc error":
            raise MCPError(-32602, f"No such thing as {said}.")
        case "rpc data":
            raise MCPError(-32050, "Look at the data.", {"key": said})
        case "progress":
            await session.report_progress(1, 2, said)
        case "question":
            return await question(ctx, f"Is {said} your key?")
        case "log":
            await session.send_log_message("error", {"key": said}, related_request_id=ctx.request_id)
    return results(said).get(place, SAID)


async def question(ctx: Context, text: str) -> dict[str, Any]:
    """Ask the user, in the way of the era."""
    form = {"type": "object", "properties": {}}
    if ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS:
        session: Any = ctx.session
        await session.elicit_form(text, form, related_request_id=ctx.request_id)
        return SAID
    asked = {"method": "elicitation/create", "params": {"message": text, "requestedSchema": form}}
    return {"resultType": "input_required", "inputRequests": {"q": asked}}


async def answer(ctx: Context, call_next: CallNext) -> Any:
    """Everything but the handshake, as it is: the SDK's models would drop what they do not know."""
    params: Any = ctx.params or {}
    match ctx.method:
        case "tools/call":
            made = await call(ctx, params)
        case "tools/list":
            schema = {"type": "object", "properties": {}, "description": credential(ctx)}
            tool = {"name": "say", "description": f"Says {credential(ctx)}.", "inputSchema": schema}
            repeat = {"name": "repeat", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}}
            made = {"tools": [tool, repeat, {"name": credential(ctx)[:40] * 2, "inputSchema": {"type": "object"}}]}
        case "resources/list":
            told = [{"uri": f"parrot://{how}", "name": how, "description": credential(ctx)} for how in SPELLINGS]
            made = {"resources": told}
        case "resources/read":
            said = SPELLINGS[params["uri"].removeprefix("parrot://")](credential(ctx))
            made = {"contents": [{"uri": params["uri"], "mimeType": "text/plain", "text": said}]}
        case "prompts/list":
            made = {"prompts": [{"name": "how", "title": credential(ctx)}]}
        case "prompts/get":
            said = SPELLINGS[params["arguments"]["how"]](credential(ctx))
            made = {"messages": [{"role": "user", "content": {"type": "text", "text": said}}]}
        case "completion/complete":
            made = {"completion": {"values": [make(credential(ctx)) for make in SPELLINGS.values()]}}
        case _:
            return await call_next(ctx)
    return {**ENVELOPE, **made}


async def _never(ctx: Context, params: Any) -> Any:
    raise AssertionError("answered before it comes here")


def parrot() -> Server[Any]:
    server = Server(
        "parrot",
        instructions=f"I am {os.environ.get('SECRET')}.",
        on_list_tools=_never,
        on_call_tool=_never,
        on_list_resources=_never,
        on_read_resource=_never,
        on_list_prompts=_never,
        on_get_prompt=_never,
        on_completion=_never,
        on_set_logging_level=_never,
    )
    server.middleware.append(answer)
    return server


async def over_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    if port is None:
        asyncio.run(over_stdio(parrot()))
    else:
        uvicorn.run(parrot().streamable_http_app(), host="127.0.0.1", port=port, log_level="error")
