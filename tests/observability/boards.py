"""The dashboards and rules as tests read them, and the Prometheus programs that judge them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "gateway" / "dashboards"
NAMES = ("toolgate-evidence.json", "toolgate-overview.json", "toolgate-tools.json")
VARIABLES = {"$job": ".*", "$server": ".*", "$__rate_interval": "30s", "$__range": "5m"}


@dataclass(frozen=True, slots=True)
class Query:
    board: str
    panel: str
    expr: str

    @property
    def filled(self) -> str:
        """With a value for each variable, as Grafana asks Prometheus."""
        text = self.expr
        for name, value in VARIABLES.items():
            text = text.replace(name, value)
        assert "$" not in text, text
        return text


def board(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return read


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for name in NAMES:
        for panel in panels(name):
            for target in panel["targets"]:
                yield Query(name, panel["title"], target["expr"])
        for annotation in board(name)["annotations"]["list"]:
            yield Query(name, annotation["name"], annotation["target"]["expr"])


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def metrics_in(expr: str) -> set[str]:
    plain = re.sub(r"\b(?:by|on) \([^)]*\)|\{[^}]*\}", "", re.sub(r'"[^"]*"', "", expr))
    return set(re.findall(r"\b(?:toolgate|mcp|process)_[a-z_]+\b", plain))


def program(name: str) -> str:
    """The path of a program of Prometheus; the test skips where it is not, unless this is CI."""
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CI"), f"{name} is missing: .ci/run installs it"
        pytest.skip(f"{name} is not here: it comes with the package prometheus")
    return path
