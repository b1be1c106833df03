"""Histograms of how long MCP requests take, as OpenTelemetry's conventions for MCP name and divide them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""The boundaries that the conventions ask for, and finer ones below them."""


class Durations:
    """One histogram, by method, server, tool and what went wrong (empty: nothing). None of these is a caller's word.

    Its series are kept by their labels, so that a request pays for one look-up only.
    """

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry) -> None:
        labels = ["mcp_method_name", "server", "gen_ai_tool_name", "error_type"]
        self._histogram = Histogram(name, documentation, labels, buckets=SECONDS, registry=registry)
        self._known: dict[tuple[str, str, str, str], Histogram] = {}

    def observe(self, method: str, server: str, tool: str, error: str, seconds: float) -> None:
        key = (method, server, tool, error)
        series = self._known.get(key)
        if series is None:
            series = self._known[key] = self._histogram.labels(*key)
        series.observe(seconds)
