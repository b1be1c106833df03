"""`toolgate policy test | explain | matrix | diff | replay | export`: what a policy does, before it does it.

A deed a module. Works without the servers' secrets, but where servers are connected to.
"""

from __future__ import annotations

import argparse
from importlib import import_module


def run(arguments: argparse.Namespace) -> int:
    status: int = import_module(f"gateway.cli.policy.{arguments.deed}").run(arguments)
    return status
