"""Each request of an agent, as a duration and, where it is traced, as a span."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from gateway.call import Result
from gateway.errors import Refused
from gateway.mcp_face import wire
from gateway.metrics import Durations
from gateway.traces import Span, Traces

ABSENT = "-"
"""What stands for a server or tool that does not exist."""

_CODES = frozenset(value for name, value in vars(wire).items() if name.isupper() and isinstance(value, int))
"""Codes of errors that the gateway makes itself. An upstream may answer with any number there is."""


@dataclass(slots=True)
class Serving:
    """One request, from its arrival to its answer. `meta` is its `_meta`, as it goes on from here."""

    served: Served
    method: str
    server: str
    tool: str
    meta: Mapping[str, Any]
    span: Span | None
    started: float
    error: str = ""

    def ended(self, result: Result) -> None:
        """Take from the answer whether it went well."""
        if result.get("isError"):
            told = (result.get("_meta") or {}).get(wire.REFUSAL_KEY)  # which no upstream can set
            self.error = told["reason"] if isinstance(told, dict) else "tool_error"

    def __enter__(self) -> Serving:
        if self.span is not None:
            self.span.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if error is not None:
            self.error = _named(error)
        served = self.served
        served.durations.observe(self.method, self.server, self.tool, self.error, served.clock() - self.started)
        if self.span is not None:
            self.span.leave()
            self.span.end(self.error)


@dataclass(frozen=True, slots=True)
class Served:
    """Begins what is known of each request."""

    durations: Durations
    traces: Traces = field(default_factory=Traces)
    clock: Callable[[], float] = time.perf_counter

    def begin(
        self, agent: str, method: str, server: str, tool: str, run: str | None, meta: Mapping[str, Any]
    ) -> Serving:
        """`server` and `tool` exist, or are ABSENT; empty where the method is of none."""
        started = self.clock()
        span = self._span(agent, method, server, tool, run, meta) if self.traces.on else None
        meta = meta if span is None else span.carried(meta)
        return Serving(self, method, server, tool, meta, span, started)

    def _span(self, agent: str, method: str, server: str, tool: str, run: Any, meta: Mapping[str, Any]) -> Span | None:
        about = {
            "mcp.method.name": method,
            "network.transport": "tcp",
            "toolgate.agent": agent,
            "toolgate.server": server,
        }
        if tool:
            about |= {"gen_ai.tool.name": tool, "gen_ai.operation.name": "execute_tool"}
        if isinstance(run, str):
            about["toolgate.run"] = run
        return self.traces.request(f"{method} {tool}" if tool else method, meta, about)


def _named(error: BaseException) -> str:
    if isinstance(error, wire.RpcError):
        return str(error.code) if error.code in _CODES else "_OTHER"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return error.reason if isinstance(error, Refused) else "_OTHER"
