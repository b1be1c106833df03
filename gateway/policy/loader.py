"""A folder of policy files to one Policy, or every problem in it at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.call import OWN
from gateway.errors import ConfigError
from gateway.policy.casbin_csv import CsvReader
from gateway.policy.enforcer import MODEL, Enforcer, model_faults
from gateway.policy.files import Report, read_document, read_text
from gateway.policy.grant import Grant
from gateway.policy.page import Kind, Page, PageReader, normal, role_subject
from gateway.policy.policy import Policy
from gateway.policy.rules import nearest
from gateway.policy.where import compile_where
from gateway.terms import NO_CEILINGS

_TOML, _CSV = "[!.]*.toml", "[!.]*.csv"
TESTS = "tests.toml"
"""No agent's file: what the policy is tested with, read by `trials`."""


def load(folder: Path, servers: Collection[str]) -> Policy:
    """The policy in `folder`: `model.conf`, `<agent>.toml` or `<agent>.csv`, `roles/<role>.toml`.

    Rules may name `servers` and the gateway itself only. Raises ConfigError with every problem found.
    """
    report = Report()
    servers = frozenset([*servers, OWN])
    if not folder.is_dir():
        fix = "create it, with model.conf and one <agent>.toml for each agent"
        report.problem(str(folder), "policies", "is not a folder", fix)
        raise ConfigError(report.problems)
    model = _model(folder, report)
    roles = {page.name: page for page in _pages(folder, "role", servers, report)}
    pages = [*_pages(folder, "agent", servers, report), *_csv_pages(folder, servers, report)]
    agents = {page.name: page for page in pages}
    _check_folder(folder, report)
    _check_roles(folder, agents, roles, report)
    if report.problems:
        raise ConfigError(sorted(report.problems))
    grants = {agent: _grant(model, page, roles) for agent, page in agents.items()}
    return Policy(MappingProxyType(grants), _digest(agents, roles), tuple(sorted(report.warnings)))


def agents_in(folder: Path) -> frozenset[str]:
    """Names of the agents that have a file in `folder`, whether it loads or not."""
    return frozenset(path.stem for path in [*folder.glob(_TOML), *folder.glob(_CSV)] if path.name != TESTS)


def _model(folder: Path, report: Report) -> str:
    path = folder / "model.conf"
    text = read_text(path, folder, report)
    if text is None:
        return ""
    for key, message, fix in model_faults(text):
        report.problem(str(path), key, message, fix)
    return text


def _pages(folder: Path, kind: Kind, servers: Collection[str], report: Report) -> Iterator[Page]:
    place = folder if kind == "agent" else folder / "roles"
    for path in sorted(place.glob(_TOML)):
        if path == folder / TESTS:
            continue
        document = read_document(path, folder, report)
        if document is not None:
            yield PageReader(document, kind, servers, report).page()


def _csv_pages(folder: Path, servers: Collection[str], report: Report) -> Iterator[Page]:
    for path in sorted(folder.glob(_CSV)):
        if path.with_suffix(".toml").exists():
            report.problem(str(path), "file", f"stands beside {path.stem}.toml", "keep one file for each agent")
        text = read_text(path, folder, report)
        if text is not None:
            yield CsvReader(str(path), text, servers, report).page()


def _check_folder(folder: Path, report: Report) -> None:
    """A file nobody reads may be a policy somebody believes in."""
    if not any(path.name != TESTS for path in [*folder.glob(_TOML), *folder.glob(_CSV)]):
        report.problem(str(folder), "policies", "holds no agent file", "write one <agent>.toml for each agent")
    read = {folder / "model.conf", folder / "roles", *folder.glob(_CSV)}
    for path in [*folder.glob("[!.]*"), *(folder / "roles").glob("[!.]*")]:
        if path.suffix not in (".toml", ".md") and path not in read:
            fix = "name it <agent>.toml or roles/<role>.toml, or remove it"
            report.warning(str(path), "file", "is not read", fix)


def _check_roles(folder: Path, agents: Mapping[str, Page], roles: Mapping[str, Page], report: Report) -> None:
    existing = {path.stem for path in (folder / "roles").glob(_TOML)}
    for page in agents.values():
        for role in page.roles:
            if role not in existing:
                message = f'names the role "{role}", which has no file'
                report.problem(page.path, "roles", message, nearest(role, existing))
    used = {role for page in agents.values() for role in page.roles}
    for role in roles.keys() - used:
        report.warning(roles[role].path, "role", "is used by no agent", "name it in an agent's roles")


def _grant(model: str, page: Page, roles: Mapping[str, Page]) -> Grant:
    rules = page.rules + tuple(rule for role in page.roles for rule in roles[role].rules)
    conditions = {
        rule.id: compile_where(rule.id, rule.effect, rule.where or {}, rule.bind or {})
        for rule in rules
        if rule.where is not None or rule.bind is not None
    }
    enforcer = Enforcer(model, page.name, map(role_subject, page.roles))
    digest = _digest({page.name: page}, {role: roles[role] for role in page.roles})
    return Grant(rules, MappingProxyType(conditions), enforcer, page.ceilings, digest)


def _digest(agents: Mapping[str, Page], roles: Mapping[str, Page]) -> str:
    content = {
        "model": sorted([*place, value] for place, value in MODEL.items()),
        "agents": {name: _content(page) for name, page in agents.items()},
        "roles": {name: [*map(normal, page.rules)] for name, page in roles.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(page: Page) -> list[Any]:
    plain: list[Any] = [page.roles, [*map(normal, page.rules)]]
    return plain if page.ceilings == NO_CEILINGS else [*plain, asdict(page.ceilings)]
