"""`toolgate tools`: what the servers offer, and what an agent may call of it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from gateway.call import OWN
from gateway.cli.files import read
from gateway.cli.output import show_json, table
from gateway.cli.reach import reach
from gateway.config import Config
from gateway.config_checks import nearest
from gateway.errors import ConfigError, Problem
from gateway.own import FACTS
from gateway.policy import Policy
from gateway.policy.matrix import cell


def run(arguments: argparse.Namespace) -> int:
    config, policy = read(arguments.config)
    agent: str | None = arguments.agent
    if agent is not None and agent not in policy.agents:
        message = f"no agent of this name has a policy file{nearest(agent, policy.agents)}"
        known = ", ".join(sorted(policy.agents)) or "none yet"
        raise ConfigError([Problem(str(config.policies_dir), agent, message, f"name one of: {known}")])
    findings = reach(config)
    shapes = [
        _shape(config, each.server, tool) | ({} if agent is None else _access(policy, agent, each.server, tool))
        for each in findings
        for tool in sorted(each.tools)
    ]
    if arguments.json:
        show_json(shapes)
    else:
        print(_table(shapes, agent))
    unreached = [each for each in findings if not each.ok]
    for each in unreached:
        print(f"toolgate tools: {each.server}: {each.detail}; its tools are not listed", file=sys.stderr)
    return 1 if unreached else 0


def _shape(config: Config, server: str, tool: str) -> dict[str, Any]:
    """`timeout` is in seconds: the tool's own, else its server's."""
    facts = FACTS[tool] if server == OWN else config.servers[server].facts(tool)
    timeout = config.server(server).timeout if facts.timeout is None else facts.timeout
    effect = {"read_only": facts.read_only, "idempotent": facts.idempotent}
    return {"server": server, "tool": tool, **effect, "timeout": timeout}


def _access(policy: Policy, agent: str, server: str, tool: str) -> dict[str, Any]:
    """`may_call` is yes, no, gate, or depends (on the arguments); `rules` are those that speak of the tool."""
    found = cell(policy, agent, server, tool)
    return {"may_call": found.access, "rules": [rule.id for rule in found.rules]}


def _table(shapes: list[dict[str, Any]], agent: str | None) -> str:
    header = ["SERVER", "TOOL", "READ-ONLY", "IDEMPOTENT", "TIMEOUT"] + ([] if agent is None else ["MAY CALL", "RULES"])
    rows = []
    for shape in shapes:
        effect = ["yes" if shape[name] else "no" for name in ("read_only", "idempotent")]
        row = [shape["server"], shape["tool"], *effect, f"{shape['timeout']:g} s"]
        rows.append(row + ([] if agent is None else [shape["may_call"], ", ".join(shape["rules"]) or "none"]))
    return table(header, rows)
