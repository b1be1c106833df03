"""An agent on the MCP SDK that traces what it does: calls a tool and prints the id of its trace.

python tracing_client.py URL TOKEN TOOL TEXT
"""

from __future__ import annotations

import asyncio
import sys

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider


async def main(url: str, token: str, tool: str, text: str) -> None:
    trace.set_tracer_provider(TracerProvider())
    with trace.get_tracer("agent").start_as_current_span("turn") as span:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            result = await client.call_tool(tool, {"text": text})
            assert not result.is_error, result
        print(f"{span.get_span_context().trace_id:032x}")


asyncio.run(main(*sys.argv[1:]))
