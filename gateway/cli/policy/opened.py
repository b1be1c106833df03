"""What the deeds work on: the policy that `gateway.toml` names, and the tools that servers offer."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import policy
from gateway.call import OWN
from gateway.config import load, load_without_servers, outline
from gateway.errors import ConfigError, Problem
from gateway.policy import Policy
from gateway.policy.rules import nearest


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded policy, the folder it is from and the names of the configured servers, the gateway's own among them."""

    policy: Policy
    folder: Path
    servers: list[str]


def opened(config: Path) -> Opened:
    """Raises ConfigError with every problem of the policy, or of `config` where it names the folder."""
    folder = near(load_without_servers(config, os.environ).policies_dir)
    servers = server_names(config)
    return Opened(policy.load(folder, servers), folder, servers)


def server_names(config: Path) -> list[str]:
    return [*outline(config, os.environ)[1], OWN]


def offered(config: Path) -> tuple[dict[str, Mapping[str, Mapping[str, Any]]], bool]:
    """Tool definitions by name and server, and whether all servers were reached. Says on stderr which were not."""
    from gateway.cli.reach import reach

    findings = reach(load(config, os.environ))
    for each in findings:
        if not each.ok:
            print(f"toolgate policy: {each.server}: {each.detail}; its tools are not known", file=sys.stderr)
    return {each.server: each.tools for each in findings if each.ok}, all(each.ok for each in findings)


def check_agent(opened: Opened, agent: str) -> None:
    """Raises ConfigError when no agent of this name has a policy."""
    if agent not in opened.policy.agents:
        fix = nearest(agent, opened.policy.agents)
        raise ConfigError([Problem(str(opened.folder), agent, "no agent of this name has a policy file", fix)])


def near(path: Path) -> Path:
    """A path as one would type it: relative to the working folder where it lies in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
