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
        self._of_audit(registry)

    def _of_audit(self, registry: CollectorRegistry) -> None:
        self.audit_height = Gauge(
            "toolgate_audit_height",
            "Place of the last event of a chain that was computed again.",
            ["chain"],
            registry=registry,
        )
        self.audit_verified = Gauge(
            "toolgate_audit_verified_timestamp_seconds",
            "When new events were last computed again, seconds since the epoch.",
            registry=registry,
        )
        self.audit_checkpoint = Gauge(
            "toolgate_audit_checkpoint_timestamp_seconds",
            "When the last checkpoint was written, seconds since the epoch.",
            registry=registry,
        )
        self.audit_unwitnessed = Gauge(
            "toolgate_audit_unwitnessed_events", "Events that no checkpoint has seen yet.", registry=registry
        )
        self.audit_checkpoint_ok = Gauge(
            "toolgate_audit_checkpoint_ok",
            "Whether checkpoints can be written to the file, and sent to the URL: 1 or 0.",
            ["to"],
            registry=registry,
        )
        self.audit_checkpoint_ok.labels("file").set(1)
        self.audit_faults = Counter(
            "toolgate_audit_faults", "Places at which the log of events was found altered.", registry=registry
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
