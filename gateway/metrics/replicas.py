from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge


class OfReplicas:
    """The processes that share a database, as this one sees them."""

    def _of_replicas(self, registry: CollectorRegistry) -> None:
        self.replicas = Gauge(
            "toolgate_replicas", "Replicas that are alive, as this one sees it; itself among them.", registry=registry
        )
        self.replicas.set(1)
        self.duty = Gauge(
            "toolgate_duty", "Whether this replica does what one does for all: 1 or 0.", registry=registry
        )
        self.policies_in_force = Gauge(
            "toolgate_policies_in_force",
            "Different policies in force in the replicas that are alive. More than 1 for long: a folder is behind.",
            registry=registry,
        )
        self.policies_in_force.set(1)
