"""A gateway on a port, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
import uvloop

from gateway import logs
from gateway.admin.console import PATH as CONSOLE
from gateway.app import Gateway
from gateway.config import Config
from gateway.connections import Bounds, Connection
from gateway.mcp_face.door import PATH

_GRACE = 2
"""Seconds that requests in flight have to end when the gateway is told to stop."""


class Server(uvicorn.Server):
    """uvicorn, but a signal to stop is a wish fulfilled (exit status 0), not one to raise again at the end.

    `leaving` is called then: requests that wait are to be answered, so that they do not have to be cut off.
    """

    def __init__(self, config: uvicorn.Config, leaving: Callable[[], None]) -> None:
        super().__init__(config)
        self._leaving = leaving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._leaving()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def serve(config: Config) -> int:
    """Serve until told to stop; the exit code. Raises ConfigError, or OSError when the port cannot be had."""
    logs.set_up(config.gateway.log_format)
    gateway = Gateway(config)
    logs.hide(gateway.secrets.hidden)
    host = config.gateway.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bounds = Bounds.of(config.gateway.client_timeout, config.gateway.max_connections)
    listener = socket.create_server((host, config.gateway.port), family=family, backlog=2048)
    port = listener.getsockname()[1]

    async def run() -> None:
        async with gateway.running():
            settings = uvicorn.Config(
                gateway,
                http=cast(Any, partial(Connection, bounds=bounds)),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE,
            )
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.reload.at_once)
            here = f"http://{config.gateway.host}:{port}"
            console = config.approvals.console or f"{here}{CONSOLE}"
            told = f"toolgate serves {here}{PATH}\nreviewers decide at {console}\n"
            print(told, end="", file=sys.stderr, flush=True)
            await Server(settings, gateway.leave).serve(sockets=[listener])

    _settle_memory()
    uvloop.run(run())
    return 0


def _settle_memory() -> None:
    """Have the garbage collector leave alone what is loaded by now: it stays for as long as the process.

    A full collection would look at all of it, and hold up every call for some 50 ms meanwhile.
    """
    gc.collect()
    gc.freeze()
