"""`toolgate replicas`: the gateway processes that share the database."""

from __future__ import annotations

import argparse
import os

from gateway.cli.files import open_state
from gateway.cli.output import show_json, table
from gateway.config import load_without_servers
from gateway.replicas import Replica, listed
from gateway.times import moment


def run(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    with open_state(config) as state:
        # A file has one gateway, and no roll.
        found = [] if config.shared is None else listed(state.store)
    if arguments.json:
        show_json([_shape(each) for each in found])
    elif found:
        header = ("NAME", "STATE", "DUTY", "SINCE", "LAST BEAT", "POLICY", "ADDRESS")
        print(table(header, [_row(each) for each in found]))
    elif config.shared is None:
        print("This database is a file, which one gateway works with. Replicas share a PostgreSQL database.")
    else:
        print("No gateway has used this database yet.")
    return 0


def _row(replica: Replica) -> tuple[str, ...]:
    since, beat = moment(replica.started) or "", f"{replica.silent:.1f} s ago"
    policy, address = (replica.policy or "")[:12], replica.address or "-"
    return replica.name, replica.state, "yes" if replica.duty else "", since, beat, policy, address


def _shape(replica: Replica) -> dict[str, object]:
    return {
        "name": replica.name,
        "state": replica.state,
        "duty": replica.duty,
        "since": moment(replica.started),
        "silent_seconds": round(replica.silent, 3),
        "policy": replica.policy,
        "address": replica.address,
        "owner": replica.owner,
    }
