"""`toolgate check`: everything wrong with configuration and policies, before anything runs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway import order
from gateway.call import OWN
from gateway.cli.clients import address
from gateway.cli.files import open_state, read
from gateway.cli.output import table
from gateway.config import Config
from gateway.config_checks import nearest
from gateway.errors import ConfigError, Problem
from gateway.interpolate import dotted
from gateway.own import SCHEMAS
from gateway.policy import Policy, check_names, trials
from gateway.policy.gated import lint_budgets, lint_compensations, lint_gates
from gateway.policy.lint import lint, lint_tools
from gateway.policy.names import idle_globs, unchecked


def run(arguments: argparse.Namespace) -> int:
    config, policy = read(arguments.config)
    failed = [*check_names(policy, {OWN: SCHEMAS}), *trials.run(policy, config.policies_dir, config.servers)]
    if failed:
        raise ConfigError(failed)
    for warning in (*policy.warnings, *lint(policy), *_gated(config, policy)):
        print(f"warning: {warning}", file=sys.stderr)
    print(_summary(config, policy))
    return _connect(config, policy) if arguments.connect else 0


def _gated(config: Config, policy: Policy) -> Iterator[Problem]:
    """Warnings about gates and budgets."""
    declared = {name: server.tools for name, server in config.servers.items()}
    kinds = {
        server: {tool: {name: each.kind for name, each in facts.arguments.items()} for tool, facts in tools.items()}
        for server, tools in declared.items()
    }
    undoing = {
        (server, tool): facts.compensate.tool
        for server, tools in declared.items()
        for tool, facts in tools.items()
        if facts.compensate is not None
    }
    yield from lint_gates(policy, _reviewers(config))
    yield from lint_budgets(policy, kinds)
    yield from lint_compensations(policy, undoing, config.path.name)


def _reviewers(config: Config) -> set[str]:
    """Names of those who can decide now. Where no gateway has run yet there is nobody, and nothing is made."""
    if config.shared is None and not config.database.exists():
        return set()
    with open_state(config) as state:
        now = time.time()
        return {row.name for row in state.reviewers.list_all() if row.state(now) == "active"}


def _summary(config: Config, policy: Policy) -> str:
    controls = [(str(place), name, why) for place, (name, why) in enumerate(order.describe(), start=1)]
    facts = [
        ("address", address(config)),
        ("state", str(config.state_dir)),
        ("servers", ", ".join(config.servers) or "none"),
        ("agents", ", ".join(sorted(policy.agents)) or "none"),
        ("policy", policy.digest),
    ]
    return f"{table((config.path.name, 'is in order'), facts)}\n\n{table(('#', 'CONTROL', 'WHY HERE'), controls)}"


def _connect(config: Config, policy: Policy) -> int:
    """Ask every server for its tools; problems are servers out of reach, and tools named but not there."""
    from gateway.cli.doubts import doubts
    from gateway.cli.reach import reach

    findings = reach(config)
    rows = [(each.server, "yes" if each.ok else "no", str(len(each.tools)), each.detail) for each in findings]
    print("\n" + table(("SERVER", "REACHED", "TOOLS", "DETAIL"), rows))
    offered = {each.server: each.tools for each in findings if each.ok}
    problems = [
        Problem(config.path.name, dotted(("servers", each.server)), "cannot be reached", "start it, or correct it")
        for each in findings
        if not each.ok
    ]
    schemas = {
        server: {name: tool.get("inputSchema", {}) for name, tool in tools.items()} for server, tools in offered.items()
    }
    unknown = unchecked(policy, config.servers.keys() - offered.keys())
    for warning in (*unknown, *idle_globs(policy, schemas), *lint_tools(policy, offered), *doubts(config, findings)):
        print(f"warning: {warning}", file=sys.stderr)
    problems += [*_facts(config, offered), *check_names(policy, schemas)]
    if problems:
        raise ConfigError(problems)
    return 0


def _facts(config: Config, offered: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[Problem]:
    """Tools and arguments that the configuration speaks of and their server does not offer."""
    for server, tools in offered.items():
        for name, facts in config.server(server).tools.items():
            key = ("servers", server, "tools", name)
            if name not in tools:
                yield _absent(config.path.name, dotted(key), name, tools)
            known = tools.get(name, {}).get("inputSchema", {}).get("properties")
            for argument in facts.arguments:
                if known is not None and argument not in known:
                    message = f"the tool has no such argument{nearest(argument, known)}"
                    yield Problem(config.path.name, dotted((*key, "arguments", argument)), message, "correct the name")
            if facts.compensate is not None and facts.compensate.tool not in tools:
                # The name is a value of the file, so it is not shown.
                yield _absent(config.path.name, dotted((*key, "compensate", "tool")), "", tools)


def _absent(file: str, key: str, name: str, tools: Collection[str]) -> Problem:
    message = f"its server offers no such tool{nearest(name, tools)}"
    return Problem(file, key, message, "correct the name, or remove it; see toolgate tools")
