"""Policy files written from plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError, Problem
from gateway.policy import load

MODEL = (Path(__file__).parents[2] / "policies" / "model.conf").read_text()
SERVERS = ("payment", "billing", "records", "files")

Rule = tuple[str, Mapping[str, Any]]
"""("allow" or "deny", the keys of the rule)."""


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def page(kind: str, name: str, rules: Sequence[Rule], roles: Sequence[str] = (), **keys: Any) -> str:
    head = {kind: name, "description": f"Does what {name} does."} | ({"roles": list(roles)} if roles else {}) | keys
    lines = [f"{key} = {toml(value)}" for key, value in head.items()]
    for effect, rule in rules:
        lines += ["", f"[[{effect}]]", *(f"{key} = {toml(value)}" for key, value in rule.items())]
    return "\n".join(lines) + "\n"


def problems(folder: Path) -> list[Problem]:
    """What keeps a folder from being loaded; each with file, key, reason and fix."""
    with pytest.raises(ConfigError) as caught:
        load(folder, SERVERS)
    assert all(problem.file and problem.key and problem.message and problem.fix for problem in caught.value.problems)
    return caught.value.problems


def only(folder: Path) -> Problem:
    """The one problem of a folder."""
    found = problems(folder)
    assert len(found) == 1, found
    return found[0]
