"""Every setting, command, metric, control and refusal reason in the code is in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway import errors, order
from gateway.config import Config, Server
from gateway.facts import Argument, ToolFacts
from gateway.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCS = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def fields(model: type[BaseModel], skip: frozenset[str] = frozenset()) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items() if name not in skip]


def settings() -> list[str]:
    names = [f"[{section}]" for section in fields(Config, frozenset({"path", "servers"}))]
    for section, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += [f"`{section}.{name}`" for name in fields(field.annotation)]
    names += [f"`servers.NAME.{name}`" for name in fields(Server, frozenset({"name"}))]
    names += [f"`servers.NAME.tools.TOOL.{name}`" for name in fields(ToolFacts)]
    return names + [f"`arguments.ARG.{name}`" for name in fields(Argument)]


def refusals(kind: type[errors.Refused] = errors.Refused) -> list[str]:
    return [kind.reason, *(reason for child in kind.__subclasses__() for reason in refusals(child))]


@pytest.mark.parametrize("setting", settings())
def test_every_setting_is_documented(setting: str) -> None:
    assert setting in DOCS


def test_every_command_is_documented() -> None:
    from gateway.cli import parser

    for command in commands(parser()):
        assert f"toolgate {command}" in DOCS, command


def commands(parser: object, prefix: str = "") -> list[str]:
    import argparse

    assert isinstance(parser, argparse.ArgumentParser)
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found += [f"{prefix}{name}", *commands(child, f"{prefix}{name} ")]
    return found


def test_every_metric_is_documented() -> None:
    for family in Metrics().registry.collect():
        if family.name.startswith("toolgate_"):
            assert f"`{family.name}" in DOCS, family.name


@pytest.mark.parametrize("name", [name for name, _ in order.describe()])
def test_every_control_is_documented(name: str) -> None:
    assert f"| {name} |" in DOCS


@pytest.mark.parametrize("reason", sorted(set(refusals()) - {"refused"}))
def test_every_refusal_reason_is_documented(reason: str) -> None:
    assert f"`{reason}`" in DOCS
