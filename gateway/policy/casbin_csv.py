"""One agent file in Casbin's own format to a Page: `p` lines are rules, `g` lines roles.

    p, AGENT, server, tool, action, effect[, -]
    g, AGENT, role

Casbin's own reader drops lines it does not know and reads a mistyped effect as no effect. Here each is a problem.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from gateway.policy.files import Report
from gateway.policy.page import EFFECTS, Page, name_fault
from gateway.policy.rules import ACTIONS, Action, Effect, Rule, nearest, target_fault

KINDS = {action: kind for kind, action in ACTIONS.items()}
_COLUMNS = {"p": (6, 7), "g": (3, 3)}
_SHAPES = {"p": "p, AGENT, server, tool, action, effect", "g": "g, AGENT, role"}
_ROLE = "role:"
"""How compiled rules name roles; may stand before a role here too."""


@dataclass(frozen=True, slots=True)
class CsvReader:
    """Reads the text of one file; whatever is wrong with it goes to `report`."""

    path: str
    text: str
    servers: Collection[str]
    report: Report
    _seen: dict[tuple[str, ...], int] = field(default_factory=dict)

    def page(self) -> Page:
        """The file's page. Lines with a problem are left out of it."""
        if fault := name_fault("agent", self._agent):
            self.report.problem(self.path, "file", *fault)
        before = len(self.report.problems)
        lines = [
            (number, cells)
            for number, line in enumerate(self.text.split("\n"), 1)
            for cells in self._cells(line, number)
        ]
        roles = tuple(dict.fromkeys(cells[2].removeprefix(_ROLE) for _, cells in lines if cells[0] == "g"))
        rules = [self._rule(number, cells) for number, cells in lines if cells[0] == "p"]
        grants = roles or any(rule.effect == "allow" for rule in rules)
        if not grants and len(self.report.problems) == before:
            fix = "add an allow, or write a TOML file with deny_all = true"
            self.report.problem(self.path, "p", "no line allows anything, and no role is named", fix)
        return Page(self._agent, self.path, roles, tuple(sorted(rules, key=lambda rule: rule.effect)))

    @property
    def _agent(self) -> str:
        return Path(self.path).stem

    def _cells(self, line: str, number: int) -> Iterator[list[str]]:
        """The cells of a line, once, when nothing is wrong with it; none for blank lines and comments."""
        if not line.strip() or line.startswith("#"):
            return
        cells = [cell.strip() for cell in line.split(",")]
        faults = list(self._faults(line, cells))
        for key, message, fix in faults:
            self.report.problem(f"{self.path}:{number}", key, message, fix)
        if faults:
            return
        first = self._seen.setdefault(tuple(cells[:6]), number)
        if first != number:
            self.report.problem(f"{self.path}:{number}", cells[0], f"repeats line {first}", "remove one of them")
            return
        yield cells

    def _faults(self, line: str, cells: list[str]) -> Iterator[tuple[str, str, str]]:
        kind = cells[0]
        if line[0].isspace() or kind not in _COLUMNS:
            yield (
                "line",
                "begins with neither p nor g",
                f"write {_SHAPES['p']}, or {_SHAPES['g']}; or # before a comment",
            )
            return
        least, most = _COLUMNS[kind]
        if not least <= len(cells) <= most:
            yield kind, f"has {len(cells)} columns, not {least}", f"write {_SHAPES[kind]}; a comma always ends a column"
            return
        if any(char in line for char in "\"'()[]"):
            yield (
                kind,
                "holds a quote, parenthesis or bracket, which Casbin reads in its own way",
                "use TOML for such a name",
            )
            return
        if cells[1] != self._agent:
            yield f"{kind}.subject", "is not the agent this file is named after", f'write "{self._agent}"'
        if kind == "p":
            yield from self._rule_faults(cells)
        elif not cells[2]:
            yield "g.role", "is empty", "name a role"

    def _rule_faults(self, cells: list[str]) -> Iterator[tuple[str, str, str]]:
        server, name, action, effect = cells[2:6]
        if action not in KINDS:
            yield "p.action", "is no action", nearest(action, KINDS)
        elif "/" in server:
            yield "p.server", "holds a slash", "write server and tool in columns of their own"
        elif fault := target_fault(KINDS[action], f"{server}/{name}", self.servers):
            yield "p.tool", *fault
        if effect not in EFFECTS:
            yield "p.effect", "is neither allow nor deny", nearest(effect, EFFECTS)
        if cells[6:] and cells[6] not in ("", "-"):
            yield (
                "p.cond",
                "is a condition, which a CSV file cannot carry",
                "write this agent's file in TOML, with `where`",
            )

    def _rule(self, number: int, cells: list[str]) -> Rule:
        _, subject, server, name, action, effect = cells[:6]
        place = f"{self.path}:{number}"
        return Rule(
            f"{subject}.csv:{number}", subject, cast(Effect, effect), cast(Action, action), server, name, place=place
        )
