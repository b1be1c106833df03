"""A server that speaks bytes: what it answers is exactly what a test says."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

Behave = Callable[["Raw", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Raw:
    """`connections` counts those ever accepted, `open` those that still are; `requests` holds each as received."""

    def __init__(self, behave: Behave) -> None:
        self.behave = behave
        self.connections = self.open = self.sent = 0
        self.requests: list[bytes] = []
        self.port = 0
        self._handlers: set[asyncio.Task[None] | None] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=tls, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.current_task()
        self._handlers.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.behave(self, reader, writer)
        finally:
            self.open -= 1
            self._handlers.discard(task)
            writer.transport.abort()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request, whole. Raises IncompleteReadError when the client is gone."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self.requests.append(head + body)
        return body

    async def stop(self) -> None:
        self._server.close()
        for task in [*self._handlers]:
            if task is not None:
                task.cancel()
        await self._server.wait_closed()


def says(*answers: bytes, close: bool = False, each: int | None = None) -> Behave:
    """Answer the requests of a connection in turn, the last answer again and again; in pieces of `each` bytes."""

    async def behave(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = 0
        while True:
            await server.request(reader)
            answer = answers[min(turn, len(answers) - 1)]
            turn += 1
            for start in range(0, len(answer), each or len(answer) or 1):
                writer.write(answer[start : start + each] if each else answer)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                return

    return behave


async def echo(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(ok(await server.request(reader)))


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in (b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body)))
    return lines + b"\r\n" + body
