"""What goes wrong with gates and budgets in practice, given reviewers and configuration: warnings, as in `lint`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from gateway.call import OWN
from gateway.errors import Problem
from gateway.policy.lint import all_rules, allows, at_rule
from gateway.policy.policy import Policy
from gateway.policy.rules import Rule, nearest

Kinds = Mapping[str, Mapping[str, Mapping[str, str]]]
"""The declared kind of arguments, by name, by tool, by server."""


def lint_gates(policy: Policy, reviewers: Collection[str]) -> list[Problem]:
    """Warnings about gates. `reviewers` are the names of those who can decide now."""
    return sorted([*_unawaited(policy), *_idle_thresholds(policy), *_undecided(policy, reviewers)])


def lint_budgets(policy: Policy, kinds: Kinds) -> list[Problem]:
    """Budgets that sum over an argument nobody declared to be money."""
    return sorted(
        problem
        for rule in all_rules(policy)
        for index, budget in enumerate(rule.budget or ())
        for problem in _no_money(rule, index, budget["sum"], kinds)
    )


def lint_compensations(policy: Policy, undoing: Mapping[tuple[str, str], str], file: str) -> list[Problem]:
    """Tools that undo a call and are gated: undoing asks nobody. `undoing` is the tool that undoes one, by server
    and name; it is declared in `file`.
    """
    found: dict[str, Problem] = {}
    for agent in sorted(policy.agents):
        for (server, tool), undo in undoing.items():
            if policy.visible(agent, server, tool, "call") and policy.gates(agent, server, undo):
                key = f"servers.{server}.tools.{tool}.compensate.tool"
                message = f"{server}/{undo} is gated for agent {agent}, and a rollback calls it without asking anybody"
                fix = "leave it if undoing needs nobody's consent, else name a tool without gate or remove compensate"
                found.setdefault(key, Problem(file, key, message, fix))
    return sorted(found.values())


def _unawaited(policy: Policy) -> Iterator[Problem]:
    """One for each agent, at its first gate."""
    for agent in sorted(policy.agents):
        gated = [rule for rule in allows(policy, agent) if rule.gate is not None]
        if gated and not policy.visible(agent, OWN, "await_approval", "call"):
            message = (
                f"agent {agent} cannot wait for this gate: it may not call {OWN}/await_approval, and is left to repeat "
                "the call until somebody has decided"
            )
            fix = f'allow it tool = "{OWN}/await_approval", best in a role of all agents with gates'
            yield at_rule(gated[0], "gate", message, fix)


def _idle_thresholds(policy: Policy) -> Iterator[Problem]:
    for rule in all_rules(policy):
        if rule.gate is not None and rule.gate["type"] == "confidence" and rule.gate["threshold"] == 0:
            message = "lets every call through, for no confidence is below 0"
            yield at_rule(rule, "gate.threshold", message, "raise it, for example to 0.8, or remove the gate")


def _undecided(policy: Policy, reviewers: Collection[str]) -> Iterator[Problem]:
    gated = [rule for rule in all_rules(policy) if rule.gate is not None and not rule.shadow]
    if gated and not reviewers:
        fix = "make one: toolgate reviewer create NAME"
        yield at_rule(gated[0], "gate", "nobody can decide, for there is no reviewer; gated calls will all expire", fix)
        return
    for rule in gated:
        tiers = (rule.gate or {}).get("tiers", ())
        for index, tier in enumerate(tiers):
            for name in sorted({*tier["reviewers"]} - {*reviewers}):
                fix = nearest(name, reviewers) + f" Or make that one: toolgate reviewer create {name}"
                yield at_rule(rule, f"gate.tiers[{index}]", f'names "{name}", and no reviewer is called so', fix)
        needed = (rule.gate or {}).get("approvers", 1)
        if needed > len(reviewers):
            message = f"needs {needed} reviewers who agree, and there are {len(reviewers)}"
            yield at_rule(rule, "gate.approvers", message, "make more: toolgate reviewer create NAME")


def _no_money(rule: Rule, index: int, argument: str, kinds: Kinds) -> Iterator[Problem]:
    """One for each tool that the rule means as far as that is known: by its name, or as one that is declared."""
    named = {(rule.server, rule.name)} if "*" not in (rule.server[-1], rule.name[-1]) else set()
    declared = {(server, tool) for server, tools in kinds.items() for tool in tools}
    meant = named | {each for each in declared if rule.matches(*each, "call")}
    for server, tool in sorted(meant):
        kind = kinds.get(server, {}).get(tool, {}).get(argument)
        if kind != "money":
            message = f"sums {argument} of {server}/{tool}, which is no declared money, so the budget alone checks it"
            fix = f'add arguments.{argument}.kind = "money" to [servers.{server}.tools.{tool}]'
            yield at_rule(rule, f"budget[{index}].sum", message, fix)
