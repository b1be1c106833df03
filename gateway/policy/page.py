"""One agent or role file to a Page: its name, its roles, its rules."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gateway.policy.ceilings import read_ceilings
from gateway.policy.extras import EXTRA_KEYS, extra_faults
from gateway.policy.files import Document, Report
from gateway.policy.rules import ACTIONS, Effect, Rule, nearest, target_fault
from gateway.policy.vocabulary import faults, unanchored
from gateway.terms import NO_CEILINGS, Ceilings

Kind = Literal["agent", "role"]
EFFECTS: tuple[Effect, ...] = ("allow", "deny")
KEYS = {
    "agent": {"agent", "description", "roles", "deny_all", "rate", "run", *EFFECTS},
    "role": {"role", "description", *EFFECTS},
}
RULE_KEYS = {*ACTIONS, *EXTRA_KEYS, "where"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Page:
    """What one file says. `rules` are in file order, allows before denies."""

    name: str
    path: str
    roles: tuple[str, ...]
    rules: tuple[Rule, ...]
    ceilings: Ceilings = NO_CEILINGS


def role_subject(role: str) -> str:
    """A role as Casbin subject: never the name of an agent."""
    return f"role:{role}"


def name_fault(kind: Kind, stem: str) -> tuple[str, str] | None:
    """Message and fix when an agent or role cannot be called like this, else None."""
    if _NAME.fullmatch(stem):
        return None
    return f"is no {kind} name: a lower-case letter, then at most 31 of a-z, 0-9 and -", "rename the file"


def normal(rule: Rule) -> list[Any]:
    """A rule as JSON, its id first, its place in the file left out."""
    where = json.dumps(rule.where, sort_keys=True) if rule.where is not None else None
    plain = [rule.id, rule.subject, rule.effect, rule.action, rule.server, rule.name, where]
    extras = {key: value for key in sorted(EXTRA_KEYS) if (value := getattr(rule, key))}
    return [*plain, json.dumps(extras, sort_keys=True)] if extras else plain


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads one document; whatever is wrong with it goes to `report`."""

    document: Document
    kind: Kind
    servers: Collection[str]
    report: Report

    def page(self) -> Page:
        """The file's page. Rules with a problem are left out of it."""
        self._check_head()
        self._check_extent()
        name = self._stem
        roles = self._roles() if self.kind == "agent" else ()
        ceilings, found = read_ceilings(self.document.table) if self.kind == "agent" else (NO_CEILINGS, [])
        for fault in found:
            self._problem(*fault)
        return Page(name, self.document.path, roles, tuple(self._rules()), ceilings)

    @property
    def _stem(self) -> str:
        return Path(self.document.path).stem

    def _problem(self, key: str, message: str, fix: str, place: str | None = None) -> None:
        self.report.problem(place or self.document.path, key, message, fix)

    def _check_head(self) -> None:
        table, kind, stem = self.document.table, self.kind, self._stem
        for key in table.keys() - KEYS[kind]:
            self._problem(key, "is not a key of this file", nearest(key, KEYS[kind]))
        if fault := name_fault(kind, stem):
            self._problem("file", *fault)
        if table.get(kind) != stem:
            fix = f'write {kind} = "{stem}", or rename the file'
            self._problem(kind, "does not repeat the name of the file", fix)
        description = table.get("description")
        if not isinstance(description, str) or not description.strip() or not description.isprintable():
            self._problem("description", "is not a sentence on one line", f"say what this {kind} is for")
        if not isinstance(table.get("deny_all", False), bool):
            self._problem("deny_all", "is neither true nor false", "write deny_all = true, or remove it")

    def _check_extent(self) -> None:
        """A file that grants nothing says so on purpose."""
        table = self.document.table
        grants = table.get("allow") or table.get("roles")
        if self.kind == "role":
            if not any(table.get(effect) for effect in EFFECTS):
                self._problem("allow", "is missing, and so is deny", "write a rule, or remove the file")
        elif table.get("deny_all") is True:
            if grants:
                self._problem("deny_all", "contradicts the rules or roles beside it", "keep one of them")
        elif not grants:
            fix = "write an [[allow]] rule or name a role; deny_all = true says that nothing is meant"
            self._problem("allow", "is missing, and so are roles", fix)

    def _roles(self) -> tuple[str, ...]:
        names = self.document.table.get("roles", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._problem("roles", "is not a list of names", 'write for example roles = ["order-reader"]')
            return ()
        for name in {name for name in names if names.count(name) > 1}:
            self._problem("roles", f'names "{name}" more than once', "name it once")
        return tuple(names)

    def _rules(self) -> Iterator[Rule]:
        seen: dict[str, str] = {}
        for effect in EFFECTS:
            tables = self.document.table.get(effect, [])
            if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
                self._problem(effect, "is not a list of tables", f"write [[{effect}]] above each rule")
                continue
            places = self.document.places(effect, len(tables))
            for index, (table, place) in enumerate(zip(tables, places, strict=True)):
                key = f"{effect}[{index}]"
                rule = self._rule(table, effect, key, place)
                if rule is None:
                    continue
                if (first := seen.setdefault(json.dumps(normal(rule)[1:]), key)) != key:
                    self._problem(key, f"repeats {first}", "remove one of them", place)
                yield rule

    def _rule(self, table: dict[str, Any], effect: Effect, key: str, place: str) -> Rule | None:
        before = len(self.report.problems)
        for unknown in table.keys() - RULE_KEYS:
            self._problem(f"{key}.{unknown}", "is not a key of a rule", nearest(unknown, RULE_KEYS), place)
        kinds = [kind for kind in ACTIONS if kind in table]
        if len(kinds) != 1:
            message = "names more than one object" if kinds else "names no object"
            fix = 'write exactly one of tool, resource, prompt = "server/name"'
            self._problem(key, message, fix, place)
            return None
        kind = kinds[0]
        if fault := target_fault(kind, table[kind], self.servers):
            self._problem(f"{key}.{kind}", *fault, place)
        if "where" in table:
            self._check_where(table["where"], kind, effect, f"{key}.where", place)
        for path, message, fix in extra_faults(table, kind, effect):
            self._problem(f"{key}.{path}", message, fix, place)
        if len(self.report.problems) > before:
            return None
        server, _, name = table[kind].partition("/")
        stem = f"{self._stem}.toml" if self.kind == "agent" else f"roles/{self._stem}.toml"
        subject = self._stem if self.kind == "agent" else role_subject(self._stem)
        said: dict[str, Any] = {each: table[each] for each in ("where", "bind", "shadow", "gate") if each in table}
        said |= {each: tuple(table[each]) for each in ("limit", "budget") if each in table}
        return Rule(f"{stem}:{key}", subject, effect, ACTIONS[kind], server, name, place=place, **said)

    def _check_where(self, where: object, kind: str, effect: Effect, key: str, place: str) -> None:
        if kind != "tool":
            self._problem(key, f"cannot stand on a {kind}, which has no arguments", "remove it", place)
            return
        found = list(faults(where))
        for path, message, fix in found:
            self._problem(".".join(filter(None, (key, path))), message, fix, place)
        if effect == "allow" and not found:
            for path in unanchored(where):
                message = "matches anywhere in the value, not the whole of it"
                self.report.warning(place, f"{key}.{path}", message, "begin it with ^ and end it with $")
