"""One tool of the fixture, and the decorator that fills a table of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asking import Asking
from mcp.server import ServerRequestContext

Handler = Callable[["Request"], Awaitable[dict[str, Any]]]
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
"""The input schema of a tool without arguments."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of one tool."""

    ctx: ServerRequestContext[Any, Any]
    arguments: Mapping[str, Any]
    ask: Asking


@dataclass(frozen=True, slots=True)
class Tool:
    """`definition` as listed, and what runs; the handler returns a tool result in wire form."""

    definition: dict[str, Any]
    run: Handler


Tools = dict[str, Tool]


def strings(**described: str) -> dict[str, Any]:
    """An input schema of required strings: name to description."""
    properties = {name: {"type": "string", "description": words} for name, words in described.items()}
    return {"type": "object", "properties": properties, "required": list(described)}


def tool(tools: Tools, schema: dict[str, Any] = NOTHING) -> Callable[[Handler], Handler]:
    """Add the decorated handler to `tools`: its name and its docstring become name and description."""

    def add(handler: Handler) -> Handler:
        name = handler.__name__
        tools[name] = Tool({"name": name, "description": handler.__doc__, "inputSchema": schema}, handler)
        return handler

    return add
