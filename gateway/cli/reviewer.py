"""`toolgate reviewer create | list | revoke`: who may decide on calls that wait for people."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from gateway.cli.files import open_state
from gateway.cli.output import no, show_json, table
from gateway.cli.who import VARIABLE
from gateway.config import Config, load_without_servers
from gateway.policy import agents_in
from gateway.reviewers import ReviewerRow, Reviewers
from gateway.times import moment


def run(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    deeds = {"create": _create, "list": _list, "revoke": _revoke}
    with open_state(config) as state:
        state.reviewers.agents = agents_in(config.policies_dir)
        return deeds[arguments.deed](arguments, state.reviewers, config)


def _create(arguments: argparse.Namespace, reviewers: Reviewers, config: Config) -> int:
    try:
        token, row = reviewers.create(arguments.name, expires=arguments.expires)
    except ValueError as error:
        return no(arguments, f"{ascii(arguments.name)[1:-1]}: {error}", "choose another name")
    if arguments.json:
        show_json({"token": token, **_shape(row)})
        return 0
    until = f"until {moment(row.expires)}" if row.expires else "until it is revoked"
    print(f"Token {row.id} of reviewer {row.name}, valid {until}. It is shown this once only:\n\n{token}\n")
    print(_use(config, token), end="")
    return 0


def _use(config: Config, token: str) -> str:
    console = config.approvals.console
    where = f"In the browser: log in with it at {console}\n\n" if console else ""
    return (
        f"{where}On the command line, where the gateway runs:\n\n"
        f"  export {VARIABLE}={token}\n"
        "  toolgate approvals list\n"
        "  toolgate approvals approve TICKET\n"
    )


def _list(arguments: argparse.Namespace, reviewers: Reviewers, config: Config) -> int:
    shapes = [_shape(row) for row in reviewers.list_all()]
    if arguments.json:
        show_json(shapes)
    elif not shapes:
        print("There is no reviewer, so nobody can decide. Make one: toolgate reviewer create NAME")
    else:
        columns = ("id", "name", "state", "created", "expires")
        rows = [[shape[name] or "never" for name in columns] for shape in shapes]
        print(table([name.upper() for name in columns], rows))
    return 0


def _revoke(arguments: argparse.Namespace, reviewers: Reviewers, config: Config) -> int:
    if not reviewers.revoke(arguments.id):
        return no(arguments, "no token in force has this id", "see toolgate reviewer list")
    print(f"Token {arguments.id} is revoked. What it decided stays decided.")
    return 0


def _shape(row: ReviewerRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state(time.time()),
        "created": moment(row.created),
        "expires": moment(row.expires),
        "revoked": moment(row.revoked),
    }
