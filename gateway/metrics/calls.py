from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.metrics.durations import Durations


class OfCalls:
    """What agents ask, and what becomes of it."""

    def _of_calls(self, registry: CollectorRegistry) -> None:
        self.served = Durations(
            "mcp_server_operation_duration_seconds",
            "Time from the arrival of an agent's request to its answer, waiting for people included.",
            registry,
        )
        self.calls = Counter(
            "toolgate_calls", "Calls by outcome.", ["agent", "server", "tool", "outcome"], registry=registry
        )
        self.in_flight = Gauge("toolgate_calls_in_flight", "Calls being worked on.", registry=registry)
        self.refusals = Counter(
            "toolgate_refusals", "Calls refused, by reason.", ["agent", "reason"], registry=registry
        )
        self.shadow_disagreements = Counter(
            "toolgate_shadow_disagreements",
            "Calls on which the policy would decide otherwise (allow or deny) with its rules in shadow.",
            ["agent", "would"],
            registry=registry,
        )
        self.signals = Counter(
            "toolgate_signals",
            "Calls with a text argument that looks like SQL, shell or markup.",
            ["server", "tool", "signal"],
            registry=registry,
        )
        self.guard = Counter(
            "toolgate_guard", "Answers with something about them.", ["server", "tool", "finding"], registry=registry
        )
        self.deduplicated = Counter(
            "toolgate_deduplicated",
            "Calls answered without being sent: with a reply that was kept (stored) or is awaited (joined).",
            ["agent", "how"],
            registry=registry,
        )
        self.unknown_outcomes = Gauge(
            "toolgate_unknown_outcomes", "Calls that may or may not have run, to be settled.", registry=registry
        )
