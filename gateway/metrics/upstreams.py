from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.metrics.durations import Durations

BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}


class OfUpstreams:
    """What is asked of upstreams, and how they are."""

    def _of_upstreams(self, registry: CollectorRegistry, servers: Iterable[str]) -> None:
        self.sent = Durations(
            "mcp_client_operation_duration_seconds",
            "Time from a request's sending to an upstream to its answer, each attempt by itself.",
            registry,
        )
        self.retries = Counter(
            "toolgate_retries", "Attempts made again after a transient failure.", ["server"], registry=registry
        )
        self.breaker = Gauge(
            "toolgate_breaker_state",
            "Circuit breaker of an upstream: 0 closed, 1 half-open, 2 open.",
            ["server"],
            registry=registry,
        )
        self.upstream_up = Gauge(
            "toolgate_upstream_up", "Whether an upstream is connected: 1 or 0.", ["server"], registry=registry
        )
        self.tools = Gauge("toolgate_tools", "Tools an upstream offers.", ["server"], registry=registry)
        self.withheld = Gauge(
            "toolgate_tools_withheld",
            "Tools an upstream lists that are not offered until somebody accepts them.",
            ["server"],
            registry=registry,
        )
        self.suspicious = Gauge(
            "toolgate_suspicious_definitions",
            "Tools, resources and prompts of an upstream whose text holds hidden characters or instructions.",
            ["server"],
            registry=registry,
        )
        for server in servers:
            for metric in (self.retries, self.breaker, self.upstream_up, self.tools, self.withheld, self.suspicious):
                metric.labels(server)
