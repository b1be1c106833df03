from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

TICKET_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
ROLLBACK_RESULTS = ("undone", "stuck")
UNDO_RESULTS = ("undone", "failed", "stuck")


class OfPeople:
    """Tickets and those who decide on them; runs and what is undone of them."""

    def _of_tickets(self, registry: CollectorRegistry) -> None:
        self.tickets = Gauge(
            "toolgate_tickets",
            "Tickets that are open: pending, or approved and not used yet.",
            ["kind", "state"],
            registry=registry,
        )
        self.oldest_ticket = Gauge(
            "toolgate_ticket_oldest_seconds",
            "For how long the oldest pending ticket has waited; 0 when none waits.",
            registry=registry,
        )
        self.next_expiry = Gauge(
            "toolgate_ticket_expiry_seconds",
            "Time until a pending ticket expires, the one that does so first; +Inf when none waits.",
            registry=registry,
        )
        self.next_expiry.set(float("inf"))
        self.ticket_wait = Histogram(
            "toolgate_ticket_wait_seconds",
            "Time from a ticket's opening to its decision.",
            buckets=TICKET_SECONDS,
            registry=registry,
        )
        self.decisions = Counter(
            "toolgate_decisions", "Decisions of reviewers: approve, edit or reject.", ["verdict"], registry=registry
        )
        for verdict in ("approve", "edit", "reject"):
            self.decisions.labels(verdict)
        self.notices = Counter(
            "toolgate_notices",
            "Attempts to deliver a notice to the webhook, by result.",
            ["result"],
            registry=registry,
        )
        for result in ("delivered", "failed", "given_up"):
            self.notices.labels(result)

    def _of_runs(self, registry: CollectorRegistry) -> None:
        self.runs = Gauge("toolgate_runs", "Runs that the store knows of, by state.", ["state"], registry=registry)
        self.rollbacks = Counter(
            "toolgate_rollbacks",
            "Runs that were undone, wholly (undone) or but for what waits for people (stuck).",
            ["result"],
            registry=registry,
        )
        self.undo_steps = Counter(
            "toolgate_undo_steps",
            "Attempts to undo a step of a run: undone, failed (tried again) or stuck (people are asked).",
            ["result"],
            registry=registry,
        )
        for result in ROLLBACK_RESULTS:
            self.rollbacks.labels(result)
        for result in UNDO_RESULTS:
            self.undo_steps.labels(result)
