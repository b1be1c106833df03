"""Connections to one origin, kept open between requests. A request is written once, on one, and never repeated."""

from __future__ import annotations

import asyncio
import re
import select
import ssl
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from gateway.upstream.dial import dial
from gateway.upstream.response import NotSent, Response

_CONNECT = 4.0
"""Seconds to resolve, connect and shake hands."""
_IDLE = 30.0
"""Seconds that a connection is kept without use."""
_DOUBTFUL = 0.05
"""Seconds without use after which the kernel is asked whether a connection still stands; a busy one is spared it."""
_IN_TRANSIT = 1
"""Seconds by which a connection is given up before the server, as it says in Keep-Alive, would do so."""

_TIMEOUT = re.compile(r"\btimeout=(\d{1,6})\b")
_REQUEST = re.compile(r"[A-Z]+ /[!-~]*")
_NOT_IN_NAME = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
)


class _Rest(NamedTuple):
    """From when until when a connection lies idle, in the event loop's time."""

    since: float
    until: float


class Connection(asyncio.Protocol):
    """One connection, and the answer that is awaited on it, if any."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._poll = select.poll()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._pool.opened(self)

    def send(self, request: bytes) -> Response:
        """Write a request. Raises NotSent when the connection has ended before."""
        if self._transport is None or self._transport.is_closing():
            raise NotSent("the connection ended before anything was sent")
        self._response = Response(self._transport)
        self._transport.write(request)
        return self._response

    def data_received(self, data: bytes) -> None:
        response, transport = self._response, self._transport
        assert transport is not None
        if response is None:
            self.cut()  # nothing was asked: whatever this is, it must not become the answer to the next request
            return
        response.feed(data)
        if response.done:
            self._response = None
            if response.reusable and transport.get_write_buffer_size() == 0:
                self._pool.keep(self, response.header("keep-alive"))
            else:
                transport.abort()

    def eof_received(self) -> None:
        self._end(orderly=True)
        self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(orderly=error is None)
        self._pool.lost(self)

    def _end(self, *, orderly: bool) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.ended(orderly)

    def quiet(self) -> bool:
        """Whether nothing has come since the last answer, not even what the event loop has yet to read."""
        return self._transport is not None and not self._transport.is_closing() and not self._poll.poll(0)

    def cut(self) -> None:
        self._end(orderly=False)
        if self._transport is not None:
            self._transport.abort()


class Pool:
    """Connections to the origin of `url`; as many as there are requests, for others decide how many that may be.

    `idle` is how many seconds one is kept without use. There are no proxies, cookies or redirects.
    """

    def __init__(self, url: str, *, idle: float = _IDLE) -> None:
        parts = urlsplit(url)
        self._tls = _tls() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._authority = parts.netloc.rpartition("@")[2]
        self._keep_for = idle
        self._idle: dict[Connection, _Rest] = {}
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None

    async def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Send a request and wait for the head of the answer; the caller closes it. `target`: path and query.

        Raises NotSent, CutShort, Malformed, or ValueError when it cannot be sent as it stands.
        """
        request = self._head(method, target, headers, body) + body
        connection = self._kept() or await self._connect()
        response = connection.send(request)
        try:
            await response.head()
        except BaseException:
            response.close()
            raise
        return response

    def _head(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        start = f"{method} {target}"
        if not _REQUEST.fullmatch(start):
            raise ValueError("method or path of the request has a character it must not have; check the url")
        if (
            "" in headers
            or _NOT_IN_NAME.search("".join(headers))
            or _NOT_IN_VALUE.search("".join(headers.values()))
            or not _OURS.isdisjoint(map(str.lower, headers))
        ):
            raise ValueError(_unfit(headers))
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        # UTF-8, as the SSE standard wants it of Last-Event-ID; the same way headers of answers are read.
        return f"{start} HTTP/1.1\r\nHost: {self._authority}\r\n{length}{lines}\r\n".encode("utf-8", "surrogateescape")

    def _kept(self) -> Connection | None:
        """The connection used last, if it is still good: a call sent on one that has ended is lost."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, rest = self._idle.popitem()
            if now < rest.until and (now < rest.since + _DOUBTFUL or connection.quiet()):
                return connection
            connection.cut()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        server_hostname = self._host if self._tls else None
        try:
            async with asyncio.timeout(_CONNECT):
                sock = await dial(self._host, self._port)
                _, connection = await loop.create_connection(
                    lambda: Connection(self), sock=sock, ssl=self._tls, server_hostname=server_hostname
                )
        except (OSError, UnicodeError) as error:
            raise NotSent(f"no connection ({type(error).__name__})") from None
        if self._closed is not None:
            connection.cut()
            raise NotSent("the pool is closed")
        return connection

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)

    def keep(self, connection: Connection, hint: str) -> None:
        """Take back a connection that is ready for another request. `hint`: the server's Keep-Alive header."""
        loop = asyncio.get_running_loop()
        now, seconds = loop.time(), self._keep_for
        if announced := _TIMEOUT.search(hint):
            seconds = min(seconds, int(announced[1]) - _IN_TRANSIT)
        self._idle[connection] = _Rest(now, now + seconds)
        if self._sweeper is None:
            self._sweeper = loop.call_at(now + self._keep_for, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [one for one, rest in self._idle.items() if rest.until <= now]:
            del self._idle[connection]
            connection.cut()
        next_end = min((rest.until for rest in self._idle.values()), default=None)
        self._sweeper = None if next_end is None else loop.call_at(next_end, self._sweep)

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._idle.pop(connection, None)
        self._open.discard(connection)
        if self._closed is not None and not self._open and not self._closed.done():
            self._closed.set_result(None)

    async def close(self) -> None:
        """Cut every connection, also those in use, and wait until they are gone."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._closed = asyncio.get_running_loop().create_future()
        if self._open:
            for connection in [*self._open]:
                connection.cut()
            await self._closed


def _tls() -> ssl.SSLContext:
    """Certificates are checked against the system's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _unfit(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not name or _NOT_IN_NAME.search(name):
            return f"{name!r} is no name of a header: use letters, digits and hyphens"
        if _NOT_IN_VALUE.search(value):
            return f"the value of {name} has a line break or control character: remove it"
    return "Host, Content-Length and the like are set by the gateway: remove them from the headers"
