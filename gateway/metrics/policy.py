from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

RELOAD_RESULTS = ("swapped", "unchanged", "failed")

BUDGET = ("agent", "object", "argument", "currency", "period")


class OfPolicy:
    """The policy in force, and how far what it grants is used up."""

    def _of_policy(self, registry: CollectorRegistry) -> None:
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
        self.budget_spent = Gauge(
            "toolgate_budget_spent", "Spent and reserved of a budget in its window.", BUDGET, registry=registry
        )
        self.budget_limit = Gauge("toolgate_budget_limit", "What a budget allows.", BUDGET, registry=registry)

    def read_only_for(self, agents: Iterable[str]) -> None:
        """Show these as the agents for whom read-only mode is on, and no other."""
        self.read_only.clear()
        self.read_only.labels("").set(0)
        for agent in agents:
            self.read_only.labels(agent).set(1)

    def budgets(self, spent: Mapping[tuple[str, str, str, str, str], tuple[int, int]]) -> None:
        """Show these budgets, and no other: what is spent and what is allowed, by the labels in BUDGET."""
        self.budget_spent.clear()
        self.budget_limit.clear()
        for labels, (total, maximum) in spent.items():
            self.budget_spent.labels(*labels).set(total)
            self.budget_limit.labels(*labels).set(maximum)
