"""A TCP connection to a host by whichever of its addresses answers first (RFC 8305, "happy eyeballs")."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

_STAGGER = 0.25
"""Seconds an address has before the next one is tried beside it."""


async def dial(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket. Raises OSError. uvloop's own create_connection tries one by one only."""
    loop = asyncio.get_running_loop()
    waiting = _alternating(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    attempts: set[asyncio.Task[socket.socket]] = set()
    running: set[asyncio.Task[socket.socket]] = set()
    won: asyncio.Task[socket.socket] | None = None
    try:
        while waiting or running:
            if waiting:
                attempt = asyncio.create_task(_connect(*waiting.pop(0)))
                attempts.add(attempt)
                running.add(attempt)
            timeout = _STAGGER if waiting else None
            done, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            won = next((attempt for attempt in done if attempt.exception() is None), None)
            if won is not None:
                return won.result()
        raise OSError("no address of the host accepts a connection")
    finally:
        for attempt in attempts - {won}:
            attempt.cancel()
            attempt.add_done_callback(_discard)


def _alternating(found: list[Any]) -> list[Any]:
    """IPv6 and IPv4 in turn, beginning with the kind the resolver put first."""
    first = [entry for entry in found if entry[0] == found[0][0]]
    others = [entry for entry in found if entry[0] != found[0][0]]
    return [entry for entry in chain.from_iterable(zip_longest(first, others)) if entry is not None]


async def _connect(family: int, kind: int, protocol: int, _: str, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    with suppress(OSError, asyncio.CancelledError):
        attempt.result().close()
