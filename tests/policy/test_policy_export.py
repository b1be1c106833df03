"""Casbin alone, without a function of ours, decides by an exported policy as Toolgate does by the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import casbin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_files import SERVERS, page
from random_policies import Rules, requests, rule_lists

from gateway.errors import ConfigError
from gateway.policy import Policy, load
from gateway.policy.export import MODEL, context, export, row

Write = Callable[[Mapping[str, str | bytes]], Path]
Build = Callable[..., Policy]


def plain_casbin(policy: Policy) -> casbin.Enforcer:
    with TemporaryDirectory() as folder:
        model, rules = Path(folder, "model.conf"), Path(folder, "policy.csv")
        model.write_text(MODEL)
        rules.write_text(export(policy).csv)
        return casbin.Enforcer(str(model), str(rules))


@settings(max_examples=80, deadline=None)
@given(rule_lists(), rule_lists(), rule_lists(), st.lists(requests, min_size=10, max_size=30))
def test_plain_casbin_decides_alike(
    write: Write, own: Rules, other: Rules, shared: Rules, asked: list[tuple[str, str, Any, dict[str, Any]]]
) -> None:
    files = {
        "a.toml": page("agent", "a", own, ["shared"]),
        "b.toml": page("agent", "b", other, ["shared"]),
        "roles/shared.toml": page("role", "shared", shared),
    }
    policy = load(write(files), SERVERS)
    enforcer = plain_casbin(policy)
    for server, name, action, arguments in asked:
        for agent in ("a", "b", "nobody"):
            decided = enforcer.enforce(agent, server, name, action, context(policy, agent, arguments))
            assert decided is policy.decide(agent, server, name, action, arguments).allowed


def test_an_exported_agent_without_conditions_is_read_back_as_a_csv_policy(write: Write) -> None:
    rules: Rules = [
        ("allow", {"tool": "payment/*"}),
        ("deny", {"tool": "*/delete_*"}),
        ("allow", {"prompt": "files/x"}),
    ]
    role = page("role", "reader", [("allow", {"resource": "files/*"})])
    policy = load(write({"a.toml": page("agent", "a", rules, ["reader"]), "roles/reader.toml": role}), SERVERS)
    lines = [line for line in export(policy).csv.splitlines() if line[:6] in ("p, a, ", "g, a, ")]
    again = load(write({"a.csv": "\n".join(lines), "roles/reader.toml": role}), SERVERS)
    assert {row(rule) for rule in again.rules("a")} == {row(rule) for rule in policy.rules("a")}


def test_a_rule_in_shadow_is_left_out_and_named(build: Build) -> None:
    made = export(build(("allow", {"tool": "payment/*"}), ("deny", {"tool": "*/*", "shadow": True})))
    assert "deny" not in made.csv
    assert [rule.id for rule in made.left_out] == ["a.toml:deny[0]"]


@pytest.mark.parametrize("name", ["doc:a,b", 'doc:"a"', "doc:(a", "doc:a]b", "#a"])
def test_a_name_that_the_format_cannot_carry_is_a_problem(build: Build, name: str) -> None:
    policy = build(("allow", {"resource": f"files/{name}"}), ("allow", {"resource": "files/plain"}))
    with pytest.raises(ConfigError, match=r"a.toml:4: allow\[0\]: has a name that Casbin's CSV cannot carry"):
        export(policy)
