"""A server that shows everything the conformance suite looks for, in both eras.

    python tests/conformance/fixture.py --port 9200

Serves http://127.0.0.1:PORT/mcp without credentials.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from typing import Any

import mcp.types as t
import reading
import uvicorn
from asking import Asking, answering
from asking_tools import ASKING
from event_store import MemoryEvents
from mcp import MCPError
from mcp.server import CacheHint, NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning
from plain_tools import PLAIN
from reading import PROMPTS, Context
from samples import said
from starlette.applications import Starlette
from tool import NOTHING, Request, Tool, Tools, tool

CACHEABLE = (
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
)
RETRY = 100
"""Milliseconds a client should wait before it comes back to a closed stream."""


@dataclass(slots=True)
class Lists:
    """What is listed now. Each `change_*` adds an entry or takes it away again, so every call is a change."""

    tools: Tools
    prompts: list[dict[str, Any]]

    def change_tools(self) -> None:
        if self.tools.pop("test_added_tool", None) is None:
            added = {"name": "test_added_tool", "description": "Comes and goes.", "inputSchema": NOTHING}
            self.tools["test_added_tool"] = Tool(added, PLAIN["test_simple_text"].run)

    def change_prompts(self) -> None:
        added = {"name": "test_added_prompt", "description": "Comes and goes."}
        if added in self.prompts:
            self.prompts.remove(added)
        else:
            self.prompts.append(added)


class Fixture(Server[dict[str, Any]]):
    """Announces list changes to legacy clients too, for which the SDK has no setting over HTTP."""

    def create_initialization_options(self, *_: Any, **__: Any) -> InitializationOptions:
        return super().create_initialization_options(NotificationOptions(tools_changed=True, prompts_changed=True))


def changing_tools(lists: Lists, bus: InMemorySubscriptionBus) -> Tools:
    """The two tools that change what is listed, and tell clients of both eras."""
    changing: Tools = {}

    @tool(changing)
    async def test_trigger_tool_change(request: Request) -> dict[str, Any]:
        """Adds a tool, or takes it away again."""
        lists.change_tools()
        await bus.publish(ToolsListChanged())
        await request.ctx.session.send_tool_list_changed()
        return said("The list of tools changed.")

    @tool(changing)
    async def test_trigger_prompt_change(request: Request) -> dict[str, Any]:
        """Adds a prompt, or takes it away again."""
        lists.change_prompts()
        await bus.publish(PromptsListChanged())
        await request.ctx.session.send_prompt_list_changed()
        return said("The list of prompts changed.")

    return changing


def build() -> Starlette:
    """The fixture as an ASGI app, serving /mcp."""
    bus = InMemorySubscriptionBus()
    lists = Lists({**PLAIN, **ASKING}, list(PROMPTS))
    lists.tools |= changing_tools(lists, bus)

    async def list_tools(ctx: Context, params: t.PaginatedRequestParams | None) -> dict[str, Any]:
        return {"tools": [entry.definition for entry in lists.tools.values()]}

    async def list_prompts(ctx: Context, params: t.PaginatedRequestParams | None) -> dict[str, Any]:
        return {"prompts": lists.prompts}

    async def call_tool(ctx: Context, params: t.CallToolRequestParams) -> dict[str, Any]:
        if params.name not in lists.tools:
            raise MCPError(t.INVALID_PARAMS, f"Unknown tool: {params.name}")
        request = Request(ctx, params.arguments or {}, Asking.of(ctx, params))
        return await lists.tools[params.name].run(request)

    server = Fixture(
        "toolgate-conformance-fixture",
        version="1.0.0",
        cache_hints={method: CacheHint(ttl_ms=0, scope="private") for method in CACHEABLE},
        on_list_tools=answering(list_tools),
        on_call_tool=answering(call_tool),
        on_list_prompts=answering(list_prompts),
        on_get_prompt=answering(reading.get_prompt),
        on_list_resources=answering(reading.list_resources),
        on_list_resource_templates=answering(reading.list_templates),
        on_read_resource=answering(reading.read_resource),
        on_subscribe_resource=reading.accept,
        on_unsubscribe_resource=reading.accept,
        on_set_logging_level=reading.accept,
        on_completion=answering(reading.complete),
        on_subscriptions_listen=ListenHandler(bus),
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server.streamable_http_app(event_store=MemoryEvents(), retry_interval=RETRY)


def main() -> None:
    parser = argparse.ArgumentParser(description="A server that shows all the conformance suite looks for.")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    # The suite asks for logging and sampling, which the protocol has deprecated but not removed.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    # h11 strips the blanks around header values that the suite sends; httptools does not.
    uvicorn.run(build(), host="127.0.0.1", port=arguments.port, http="h11", log_level="warning")


if __name__ == "__main__":
    main()
