"""Agents against tools: who may call what, as far as that can be said without arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.policy.explain import target, terms
from gateway.policy.objects import Object
from gateway.policy.policy import Policy
from gateway.policy.rules import Rule

Access = Literal["yes", "no", "depends", "gate"]
MEANING: dict[Access, str] = {
    "yes": "may call it",
    "depends": "may call it with some arguments",
    "gate": "may call it through a gate, with any arguments",
    "no": "may not call it, and does not see it",
}
_TERMS = ("bind", "gate", "limit", "budget")
BOUNDED = "up to a limit or budget"


@dataclass(frozen=True, slots=True)
class Cell:
    """One agent and one tool. `rules` are the enforced ones that speak of it."""

    access: Access
    rules: tuple[Rule, ...]

    @property
    def bounded(self) -> bool:
        """Whether a rule limits how often, or how much of something."""
        return self.access != "no" and any(rule.limit or rule.budget for rule in self.rules)

    @property
    def asks(self) -> list[str]:
        """What the rules that allow it look at or ask for: where, bind, gate, limit, budget."""
        allows = [rule for rule in self.rules if rule.effect == "allow"]
        asked = {name for rule in allows for name in terms(rule)}
        return [
            *(["where"] if any(rule.where for rule in self.rules) else []),
            *(name for name in _TERMS if name in asked),
        ]


@dataclass(frozen=True, slots=True)
class Row:
    """One tool; its cells are in the order of the matrix's agents."""

    tool: Object
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All agents, all tools. Rows are ordered by server and name."""

    agents: tuple[str, ...]
    rows: tuple[Row, ...]


def matrix(policy: Policy, tools: Sequence[Object]) -> Matrix:
    """The matrix of all agents and `tools`. A glob that nobody may use anything of makes no row."""
    agents = tuple(sorted(policy.agents))
    rows = (Row(tool, tuple(cell(policy, agent, tool.server, tool.name) for agent in agents)) for tool in tools)
    kept = (row for row in rows if not row.tool.is_glob or any(each.access != "no" for each in row.cells))
    return Matrix(agents, tuple(kept))


def cell(policy: Policy, agent: str, server: str, tool: str) -> Cell:
    """What `agent` may do with one tool, and the rules that say so."""
    speaking = [rule for rule in policy.rules(agent) if rule.matches(server, tool, "call") and not rule.shadow]
    if not policy.visible(agent, server, tool, "call"):
        return Cell("no", tuple(rule for rule in speaking if rule.effect == "deny"))
    return Cell(_access(speaking), tuple(speaking))


def matrix_json(shown: Matrix) -> dict[str, Any]:
    """The matrix as programs are told it; `rules` are all that it names, by id, with what they ask."""
    rules = {rule.id: rule for row in shown.rows for each in row.cells for rule in each.rules}
    told = {
        rule.id: {"effect": rule.effect, "tool": target(rule), "where": rule.where, **terms(rule)}
        for rule in rules.values()
    }
    return {"agents": list(shown.agents), "tools": [_row(shown, row) for row in shown.rows], "rules": told}


def _row(shown: Matrix, row: Row) -> dict[str, Any]:
    cells = {
        agent: {"access": cell.access, "bounded": cell.bounded, "rules": [rule.id for rule in cell.rules]}
        for agent, cell in zip(shown.agents, row.cells, strict=True)
    }
    return {"server": row.tool.server, "tool": row.tool.label, "glob": row.tool.is_glob, "agents": cells}


def _access(rules: Sequence[Rule]) -> Access:
    """Of a visible tool. The first allow rule that holds decides, so none matters behind an unconditional one."""
    if any(rule.effect == "deny" for rule in rules):
        return "depends"
    gates = set()
    for rule in rules:
        gates.add("none" if rule.gate is None else "some" if "when" in rule.gate else "all")
        if rule.where is None and rule.bind is None:
            break
    else:
        return "depends"
    if gates == {"all"}:
        return "gate"
    return "yes" if gates == {"none"} else "depends"
