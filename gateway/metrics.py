"""Prometheus metrics of one gateway process. No label value ever comes from a request.

Agents come from the policy folder, servers from the configuration, tools from what upstreams published;
a call that names anything else is counted under `-`.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COMMIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 1.0)
COMMIT_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TICKET_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
RELOAD_RESULTS = ("swapped", "unchanged", "failed")
ROLLBACK_RESULTS = ("undone", "stuck")
UNDO_RESULTS = ("undone", "failed", "stuck")
BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}


class Metrics:
    """Every metric the gateway keeps, in a registry of its own. `servers` are shown from the start."""

    def __init__(self, servers: Iterable[str] = ()) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._of_calls()
        self._of_upstreams(servers)
        self._of_policy()
        self._of_runs()
        self._of_tickets()
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
        self._of_replicas()

    def _of_replicas(self) -> None:
        registry = self.registry
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

    def _of_calls(self) -> None:
        registry = self.registry
        self.calls = Counter(
            "toolgate_calls", "Calls by outcome.", ["agent", "server", "tool", "outcome"], registry=registry
        )
        self.call_seconds = Histogram(
            "toolgate_call_duration_seconds",
            "Time from a call's arrival at the first control to its answer.",
            ["server"],
            buckets=CALL_SECONDS,
            registry=registry,
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

    def _of_upstreams(self, servers: Iterable[str]) -> None:
        registry = self.registry
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

    def _of_policy(self) -> None:
        registry = self.registry
        self.reload_ok = Gauge(
            "toolgate_config_reload_ok",
            "Whether the policy in force is that of the policy folder: 1, or 0 when that has problems.",
            registry=registry,
        )
        self.reload_ok.set(1)
        self.reloads = Counter(
            "toolgate_config_reloads", "Looks at a changed policy folder, by result.", ["result"], registry=registry
        )
        for result in RELOAD_RESULTS:
            self.reloads.labels(result)
        self.read_only = Gauge(
            "toolgate_read_only",
            "Whether read-only mode is on for an agent; the empty name is the whole gateway: 1 or 0.",
            ["agent"],
            registry=registry,
        )
        self.read_only.labels("").set(0)
        self.unknown_names = Gauge(
            "toolgate_policy_unknown_names",
            "Names in the policy's rules that a connected upstream does not offer.",
            registry=registry,
        )

    def _of_runs(self) -> None:
        self.rollbacks = Counter(
            "toolgate_rollbacks",
            "Runs that were undone, wholly (undone) or but for what waits for people (stuck).",
            ["result"],
            registry=self.registry,
        )
        self.undo_steps = Counter(
            "toolgate_undo_steps",
            "Attempts to undo a step of a run: undone, failed (tried again) or stuck (people are asked).",
            ["result"],
            registry=self.registry,
        )
        for result in ROLLBACK_RESULTS:
            self.rollbacks.labels(result)
        for result in UNDO_RESULTS:
            self.undo_steps.labels(result)

    def read_only_for(self, agents: Iterable[str]) -> None:
        """Show these as the agents for whom read-only mode is on, and no other."""
        self.read_only.clear()
        self.read_only.labels("").set(0)
        for agent in agents:
            self.read_only.labels(agent).set(1)

    def _of_tickets(self) -> None:
        registry = self.registry
        self.tickets = Gauge(
            "toolgate_tickets",
            "Tickets that are open: pending, or approved and not used yet.",
            ["kind", "state"],
            registry=registry,
        )
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

    def committed(self, rows: int, seconds: float) -> None:
        """Note one group commit; `rows` 0 means it failed."""
        self.store_ok.set(1 if rows else 0)
        if rows:
            self.commit_rows.observe(rows)
            self.commit_seconds.observe(seconds)

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)
