"""Run the servers, all eight or those named: `python -m servers --data DIR`. They end with it, also if it is killed."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from servers import PORTS, app, billing, catalog, customers, fulfillment, inventory, payment, pricing, records
from servers.app import Place, Server
from servers.credential import credential, variable

SERVERS = (
    catalog.SERVER,
    inventory.SERVER,
    pricing.SERVER,
    payment.SERVER,
    fulfillment.SERVER,
    customers.SERVER,
    billing.SERVER,
    records.SERVER,
)
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
STOP_SECONDS = 5.0


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when told to stop, 2 when a server cannot start, 1 when none is left."""
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    names = [server.name for server in SERVERS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--base-port",
        type=app.port,
        default=min(PORTS.values()),
        help="first of eight ports in a row; 0 takes free ones (default %(default)s)",
    )
    parser.add_argument("--data", type=Path, default=Path("var/servers"), help="folder (default %(default)s)")
    args = parser.parse_args(argv)
    if args.base_port + len(SERVERS) > 65536:
        parser.error(f"--base-port {args.base_port} leaves no room for {len(SERVERS)} ports: give a lower one")
    if unknown := sorted(set(args.names) - set(names)):
        parser.error(f"there is no server {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = [server for server in SERVERS if not args.names or server.name in args.names]
    try:
        keys = {server.name: credential(server.name, os.environ) for server in chosen}
    except (OSError, UnicodeDecodeError) as error:
        print(f"servers cannot read a credential: {error}. Let each ..._KEY_FILE name a text file.", file=sys.stderr)
        return app.FAILED_TO_START
    # Taken out of the environment, so that no server can read the key of another there.
    for name in keys:
        os.environ.pop(variable(name), None)
    missing = [variable(name) for name, key in keys.items() if not key]
    if missing:
        print(
            f"servers need their credentials: set {', '.join(missing)}, each to a secret of its own.",
            file=sys.stderr,
        )
        return app.FAILED_TO_START
    places = {
        server.name: Place(
            host=args.host, port=args.base_port and args.base_port + at, db=args.data / f"{server.name}.db"
        )
        for at, server in enumerate(SERVERS)
        if server in chosen
    }
    return run(places, keys)


def run(places: dict[str, Place], keys: dict[str, str]) -> int:
    """Start every server and wait for a signal, or for the servers to end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    watched, held = os.pipe()
    gc.freeze()
    # Forked, not spawned: all servers are up after one import of the SDK instead of eight.
    running = {
        start(server, places[server.name], keys[server.name], watched, held): server.name
        for server in SERVERS
        if server.name in places
    }
    os.close(watched)
    status = 0
    while running and status == 0 and signal.sigwait(SIGNALS) == signal.SIGCHLD:
        status = reap(running)
    os.close(held)
    stop(running)
    return status


def start(server: Server, place: Place, key: str, watched: int, held: int) -> int:
    """Fork one server; its stdin is a pipe that closes when this process ends. Returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(watched, 0)
        os.close(watched)
        os.close(held)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        status = app.serve(server, place, key, watch_stdin=True)
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def reap(running: dict[int, str]) -> int:
    """Take ended servers out of `running`. Returns 0 while the others may go on, else the exit status."""
    status = 0
    while running:
        child, ended = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return status
        name, code = running.pop(child), os.waitstatus_to_exitcode(ended)
        print(f"{name} ended with status {code}.", file=sys.stderr)
        if code == app.FAILED_TO_START:
            status = code
    return status or 1


def stop(running: dict[int, str]) -> None:
    """The servers have seen their stdin close: wait for them, then kill those that stay."""
    deadline = time.monotonic() + STOP_SECONDS
    while running:
        child, _ = os.waitpid(-1, os.WNOHANG)
        running.pop(child, None)
        if time.monotonic() > deadline:
            for late in running:
                os.kill(late, signal.SIGKILL)
        if child == 0:
            time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
