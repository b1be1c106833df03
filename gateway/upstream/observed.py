"""Each request to an upstream, as a duration and, inside of a trace, as a span that the upstream hears of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind

from gateway.call import Credential, Peer, Result
from gateway.errors import Refused
from gateway.metrics import Durations
from gateway.traces import Span, here
from gateway.upstream.upstream import Upstream


class Observed:
    """An upstream as calls reach it. What the gateway asks for itself, such as lists, is not told of here."""

    def __init__(
        self, upstream: Upstream, transport: str, durations: Durations, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._upstream = upstream
        self._transport = transport
        self._durations = durations
        self._clock = clock

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, credential: Credential | None = None
    ) -> Result:
        """As of `Upstream`. A tool that gets here is one of the catalog: only then there is a permit."""
        tool = params["name"] if method == "tools/call" else ""
        span = None if (around := here()) is None else self._span(around, method, tool)
        if span is not None:
            params = {**params, "_meta": span.carried(params["_meta"])}
        started, error = self._clock(), "_OTHER"
        try:
            result = await self._upstream.request(method, params, peer=peer, credential=credential)
            error = "tool_error" if result.get("isError") else ""
            return result
        except Refused as refused:
            error = refused.reason
            raise
        except asyncio.CancelledError:
            error = "cancelled"
            raise
        finally:
            self._durations.observe(method, self._upstream.name, tool, error, self._clock() - started)
            if span is not None:
                span.end(error)

    def _span(self, around: Span, method: str, tool: str) -> Span:
        about = {
            "mcp.method.name": method,
            "network.transport": self._transport,
            "toolgate.server": self._upstream.name,
        }
        if not tool:
            return around.child(method, SpanKind.CLIENT, about)
        about |= {"gen_ai.tool.name": tool, "gen_ai.operation.name": "execute_tool"}
        return around.child(f"{method} {tool}", SpanKind.CLIENT, about)
