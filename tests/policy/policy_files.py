"""Policy files written from plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
