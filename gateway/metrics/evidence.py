from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COMMIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 1.0)
COMMIT_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class OfEvidence:
    """The log of events: whether it can be written, and how far it is proven."""

    def _of_evidence(self, registry: CollectorRegistry) -> None:
        self.commit_seconds = Histogram(
            "toolgate_event_commit_seconds",
            "Time of one group commit of events.",
            buckets=COMMIT_SECONDS,
            registry=registry,
        )
        self.commit_rows = Histogram(
            "toolgate_event_commit_rows", "Events in one group commit.", buckets=COMMIT_ROWS, registry=registry
        )
        self.store_ok = Gauge(
            "toolgate_store_ok", "Whether events can be written: 1 or 0. At 0 no tool runs.", registry=registry
        )
        self.store_ok.set(1)
        self.gaps = Counter(
            "toolgate_event_gaps", "Times that events could be written no longer, for a while.", registry=registry
        )
        self.chain_height = Gauge(
            "toolgate_chain_height", "Events in the chain that this process writes.", ["chain"], registry=registry
        )
        self.checkpoint_at = Gauge(
            "toolgate_checkpoint_timestamp_seconds", "When the last checkpoint was written.", registry=registry
        )
        self.checkpoint_lag = Gauge(
            "toolgate_checkpoint_lag_seconds",
            "For how long the oldest event has waited that no checkpoint speaks of; 0 when there is none.",
            registry=registry,
        )
        self.checkpoint_failures = Counter(
            "toolgate_checkpoint_failures", "Attempts to write a checkpoint that failed.", registry=registry
        )

    def committed(self, rows: int, seconds: float) -> None:
        """Note one group commit; `rows` 0 means it failed. Called by the one thread that writes."""
        if rows:
            self.commit_rows.observe(rows)
            self.commit_seconds.observe(seconds)
        elif self._writing:
            self.gaps.inc()
        if self._writing != bool(rows):
            self._writing = bool(rows)
            self.store_ok.set(1 if rows else 0)

    _writing = True
