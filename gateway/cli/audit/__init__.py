"""`toolgate audit verify | tail | show | search | export | key | rotate`: the log of events, read and proved.

Works without the servers' secrets and without a policy that loads, beside a running gateway or without one.
"""

from __future__ import annotations

import argparse
from importlib import import_module

_MODULES = {
    "verify": "verify",
    "tail": "events",
    "show": "events",
    "search": "events",
    "export": "export",
    "key": "keys",
    "rotate": "keys",
}


def run(arguments: argparse.Namespace) -> int:
    module = import_module(f"gateway.cli.audit.{_MODULES[arguments.deed]}")
    status: int = getattr(module, arguments.deed)(arguments)
    return status
