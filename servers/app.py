"""What all servers share: their description, their tools, their command line and how they are run."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations
from pydantic import create_model

from servers import PORTS
from servers.credential import RequireCredential, credential, variable
from servers.database import Database, Schema

FAILED_TO_START = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server: what it is called, what a new file of it holds, and its tools over that file."""

    name: str
    title: str
    instructions: str
    schema: Schema
    tools: Callable[[Database], list[Tool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one server listens and keeps its data. Port 0 takes a free port."""

    host: str
    port: int
    db: Path


def hints(
    *, reads: bool = False, destroys: bool = False, repeatable: bool = False, outside: bool = False
) -> ToolAnnotations:
    """MCP's four behaviour hints, all said: read only, destructive, idempotent, open world."""
    return ToolAnnotations(
        read_only_hint=reads, destructive_hint=destroys, idempotent_hint=repeatable, open_world_hint=outside
    )


READS = hints(reads=True, repeatable=True)


def tool(function: Callable[..., Any], title: str, annotations: ToolAnnotations) -> Tool:
    """`function` as a tool, described by its docstring. Arguments it does not take are refused."""
    made = Tool.from_function(function, title=title, annotations=annotations)
    taken = made.fn_metadata.arg_model
    made.fn_metadata.arg_model = create_model(taken.__name__, __base__=taken, __cls_kwargs__={"extra": "forbid"})
    made.parameters = made.fn_metadata.arg_model.model_json_schema(by_alias=True)
    return made


def build(server: Server, database: Database) -> MCPServer[Any]:
    return MCPServer(
        server.name,
        title=server.title,
        version="0.1.0",
        instructions=server.instructions,
        tools=server.tools(database),
        log_level="WARNING",
        # What is offered never changes, so there is no news to listen for.
        subscriptions=False,
    )


class Listener(uvicorn.Server):
    """uvicorn that says one line once it answers, and none when it stops."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # In one write: the servers share a stream, and a line must not be cut by another.
        sys.stderr.write(f"{self._ready}\n")

    def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
        # Stopping ends open streams; uvicorn would write a line about each.
        logging.getLogger("uvicorn.error").addFilter(lambda line: "without completing response" not in line.msg)
        super().handle_exit(sig, frame)


def serve(server: Server, place: Place, key: str, *, watch_stdin: bool) -> int:
    """Run until SIGTERM or SIGINT, or until stdin closes if watched. Returns the exit status."""
    try:
        database = Database(place.db, server.schema)
    except (OSError, sqlite3.Error) as error:
        return _cannot_start(server, f"cannot use {place.db}: {error}. Pass a writable path of its own with --db")
    try:
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        listening = socket.create_server((place.host, place.port), family=family, backlog=2048)
    except OSError as error:
        database.close()
        why = (error.strerror or str(error)).partition(" (")[0]
        reason = f"cannot listen on {place.host}:{place.port}: {why}"
        return _cannot_start(server, f"{reason}. Stop what uses it, or pass another --host or --port")
    _stop_on_signals()
    if watch_stdin:
        threading.Thread(target=_stop_when_stdin_closes, daemon=True).start()
    host = f"[{place.host}]" if ":" in place.host else place.host
    ready = f"{server.name} ready on http://{host}:{listening.getsockname()[1]}/mcp"
    app = build(server, database).streamable_http_app(host=place.host)
    try:
        Listener(_config(RequireCredential(app, server.name, key)), ready).run(sockets=[listening])
    except SystemExit as stopped:
        return int(stopped.code or 0)
    finally:
        database.close()
    return 0


def _cannot_start(server: Server, reason: str) -> int:
    print(f"{server.name} {reason}.", file=sys.stderr)
    return FAILED_TO_START


def _config(app: RequireCredential) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        # Longer than clients keep idle connections: a client never sends into one we are just closing.
        timeout_keep_alive=75,
        # Seconds a call under way may take when we are stopped: longer than the longest query.
        timeout_graceful_shutdown=2,
    )


def _stop_on_signals() -> None:
    """uvicorn stops cleanly on a signal and then raises it again for whoever handled it before: us."""

    def leave(_signal: int, _frame: object) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def _stop_when_stdin_closes() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def port(text: str) -> int:
    """A TCP port from the command line."""
    if not (text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)


def main(server: Server, argv: Sequence[str] | None = None) -> int:
    """The command line of one server. Returns the exit status: 2 when it cannot start."""
    parser = argparse.ArgumentParser(prog=f"python -m servers.{server.name}", description=server.title)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=port, default=PORTS[server.name], help="0 takes a free one (default %(default)s)"
    )
    parser.add_argument(
        "--db",
        type=Path,
        default=Path(f"var/servers/{server.name}.db"),
        help="SQLite file (default %(default)s)",
    )
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input closes")
    args = parser.parse_args(argv)
    name = variable(server.name)
    try:
        key = credential(server.name, os.environ)
    except (OSError, UnicodeDecodeError) as error:
        return _cannot_start(server, f"cannot read its credential: {error}. Let {name}_FILE name a text file")
    if not key:
        return _cannot_start(server, f"needs its credential: set {name} to a secret of your own, or {name}_FILE")
    return serve(server, Place(host=args.host, port=args.port, db=args.db), key, watch_stdin=args.watch_stdin)
