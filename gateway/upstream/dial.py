"""A TCP connection to a host by whichever of its addresses answers first (RFC 8305, "happy eyeballs")."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

from gateway.rules.addresses import standing

Found = tuple[int, int, int, str, Any]
"""Family, type, protocol, canonical name and address, as getaddrinfo gives them."""

_STAGGER = 0.25
"""Seconds an address has before the next one is tried beside it."""


async def dial(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket. Raises OSError. uvloop's own create_connection tries one by one only."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Where clouds hand out credentials there is no tool server, whatever a name resolves to.
    servers = [entry for entry in found if standing(str(entry[4][0])) != "metadata"]
    if found and not servers:
        raise OSError("the host is a metadata service or link-local, where no tool server is")
    return await first_of(servers)


async def first_of(found: Sequence[Found]) -> socket.socket:
    """The same for addresses that are known, in order of preference."""
    waiting = _alternating(found)
    attempts: set[asyncio.Task[socket.socket]] = set()
    running: set[asyncio.Task[socket.socket]] = set()
    won: asyncio.Task[socket.socket] | None = None
    failure: BaseException | None = None
    try:
        while waiting or running:
            if waiting:
                attempt = asyncio.create_task(_connect(*waiting.pop(0)))
                attempts.add(attempt)
                running.add(attempt)
            timeout = _STAGGER if waiting else None
            done, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                failure = attempt.exception()
                if failure is None:
                    won = attempt
                    return won.result()
        raise failure or OSError("the host has no address")
    finally:
        for attempt in attempts - {won}:
            attempt.cancel()
            attempt.add_done_callback(_discard)


def _alternating(found: Sequence[Found]) -> list[Found]:
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
