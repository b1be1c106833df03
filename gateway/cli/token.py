"""`toolgate token create | list | revoke`: who may call in whose name.

Works without the servers' secrets, so that a token can be revoked from any shell.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from gateway import policy
from gateway.cli.clients import address, instructions
from gateway.cli.files import open_tokens
from gateway.cli.output import no, show_json, table
from gateway.config import Config, load_without_servers, outline
from gateway.config_checks import nearest
from gateway.errors import ConfigError, Problem
from gateway.identity import TokenRow
from gateway.times import moment


def run(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    deeds = {"create": _create, "list": _list, "revoke": _revoke}
    return deeds[arguments.deed](arguments, config)


def _create(arguments: argparse.Namespace, config: Config) -> int:
    _, servers = outline(config.path, os.environ)
    agents = policy.load(config.policies_dir, servers).agents
    agent = arguments.agent
    if agent not in agents:
        file = config.policies_dir / f"{agent}.toml"
        message = f"no agent of this name has a policy file{nearest(agent, agents)}"
        raise ConfigError([Problem(str(file), "file", message, "write this file first, or correct the name")])
    claims = dict(arguments.claim)
    if len(claims) < len(arguments.claim):
        print("toolgate token create: a claim is given twice. Fix: give each --claim once", file=sys.stderr)
        return 2
    with open_tokens(config) as tokens:
        token, row = tokens.create(agent, expires=arguments.expires, now=time.time(), claims=claims)
    url = arguments.url or address(config)
    if arguments.json:
        show_json({"token": token, "url": url, **_shape(row)})
        return 0
    until = f"until {moment(row.expires)}" if row.expires else "until it is revoked"
    print(f"Token {row.id} of agent {agent}, valid {until}. It is shown this once only:\n\n{token}\n")
    print(instructions(token, url), end="")
    return 0


def _list(arguments: argparse.Namespace, config: Config) -> int:
    with open_tokens(config) as tokens:
        shapes = [_shape(row) for row in tokens.list_all()]
    if arguments.json:
        show_json(shapes)
    else:
        columns = ("id", "agent", "state", "created", "expires")
        rows = [[*(shape[name] or "never" for name in columns), _told(shape["claims"])] for shape in shapes]
        print(table([*(name.upper() for name in columns), "CLAIMS"], rows))
    return 0


def _revoke(arguments: argparse.Namespace, config: Config) -> int:
    with open_tokens(config) as tokens:
        done = tokens.revoke(arguments.id)
    if not done:
        return no(arguments, "no token in force has this id", "see toolgate token list")
    print(f"Token {arguments.id} is revoked. A running gateway refuses it within a second.")
    return 0


def _told(claims: Mapping[str, Any]) -> str:
    """As `--claim` takes them."""
    given = (
        f"{name}={value}" if isinstance(value, str) else f"{name}:={json.dumps(value)}"
        for name, value in claims.items()
    )
    return " ".join(given) or "none"


def _shape(row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "agent": row.agent,
        "state": row.state(time.time()),
        "created": moment(row.created),
        "expires": moment(row.expires),
        "revoked": moment(row.revoked),
        "claims": dict(row.claims),
    }
