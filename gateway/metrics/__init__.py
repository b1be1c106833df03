"""Prometheus metrics of one gateway process. No label value ever comes from a request.

Agents come from the policy folder, servers from the configuration, tools from what upstreams published;
a call that names anything else is counted under `-`.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

from gateway.metrics.calls import OfCalls
from gateway.metrics.durations import Durations
from gateway.metrics.evidence import OfEvidence
from gateway.metrics.people import OfPeople
from gateway.metrics.policy import OfPolicy
from gateway.metrics.replicas import OfReplicas
from gateway.metrics.upstreams import BREAKER_STATES, OfUpstreams

__all__ = ["BREAKER_STATES", "Durations", "Metrics"]

# They would be another series for each counter and histogram, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics(OfCalls, OfUpstreams, OfPolicy, OfPeople, OfEvidence, OfReplicas):
    """Every metric the gateway keeps, in a registry of its own. `servers` are shown from the start."""

    def __init__(self, servers: Iterable[str] = ()) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._of_calls(registry)
        self._of_upstreams(registry, servers)
        self._of_policy(registry)
        self._of_runs(registry)
        self._of_tickets(registry)
        self._of_evidence(registry)
        self._of_replicas(registry)

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)
