"""A gateway on a port, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop

from gateway import logs
from gateway.app import Gateway
from gateway.config import Config
from gateway.mcp_face.door import PATH

_GRACE = 2
"""Seconds that requests in flight have to end when the gateway is told to stop."""


class Server(uvicorn.Server):
    """uvicorn, but a signal to stop is a wish fulfilled (exit status 0), not one to raise again at the end."""

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
    host = config.gateway.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, config.gateway.port), family=family, backlog=2048)
    port = listener.getsockname()[1]

    async def run() -> None:
        async with gateway.running():
            settings = uvicorn.Config(
                gateway,
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE,
            )
            print(f"toolgate serves http://{config.gateway.host}:{port}{PATH}", file=sys.stderr, flush=True)
            await Server(settings).serve(sockets=[listener])

    sys.setswitchinterval(0.0005)
    uvloop.run(run())
    return 0
