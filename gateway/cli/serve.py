"""`toolgate serve`: run the gateway until it is stopped."""

from __future__ import annotations

import argparse
import sys

from gateway.cli.files import read, usable_state


def run(arguments: argparse.Namespace) -> int:
    given = {"host": arguments.host, "port": arguments.port}
    config, _ = read(arguments.config, {name: value for name, value in given.items() if value is not None})
    from gateway.serving import serve

    try:
        with usable_state(config):
            return serve(config)
    except OSError as error:
        print(
            f"toolgate serve: cannot listen on {config.gateway.host}:{config.gateway.port}: {error.strerror}. "
            "Fix: stop what listens there, or choose another address with --host and --port",
            file=sys.stderr,
        )
        return 1
