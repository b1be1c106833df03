"""Connections of clients: HTTP/1 read strictly, and bounds on what a client that has not said who it is may take up."""

from __future__ import annotations

import asyncio
import logging
import resource
from dataclasses import dataclass
from typing import Any, Self

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = logging.getLogger("toolgate.connections")

HEAD = 65_536
"""Bytes of a request's line and headers together."""
_PIPELINED = 16
"""Requests that may wait on one connection for the one before them to be answered."""
_VERSIONS = ("1.1", "1.0")
_MALFORMED = 400, "Malformed HTTP request."
_OVERSIZE = 431, "The headers of this request are too large."
_LATE = 408, "The request did not arrive in time."
_FULL = 503, "Too many open connections."


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for a request to arrive, and for an answer to be taken; how many connections there may be."""

    patience: float
    connections: int

    @classmethod
    def of(cls, patience: float, connections: int) -> Self:
        """No more connections than there are descriptors for; half of those are left to upstreams and files."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 2 * connections and soft != hard:
            soft = 2 * connections if hard == resource.RLIM_INFINITY else min(hard, 2 * connections)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < 2 * connections:
            log.warning(
                "only %d connections are taken: this process may open %d files. Fix: raise its limit (ulimit -n) to "
                "twice gateway.max_connections",
                soft // 2,
                soft,
            )
        return cls(patience, min(connections, soft // 2))


class Joined:
    """A transport that writes at once what uvicorn writes in pieces: head and body of an answer.

    Two writes are two system calls and two packets, the dearest things in the answer to a small call. What is not
    flushed, the beginning of a stream, goes out with the next turn of the loop. What a client has not taken
    `patience` seconds after the connection was closed is dropped.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self._transport = transport
        self._loop = loop
        self._patience = patience
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)

    def flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        self.flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(self._patience, self._transport.abort)


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol on a Joined transport, within Bounds.

    The parser (llhttp) refuses doubtful framing; beyond it, what a proxy in front might read in another way is
    refused here: other versions, a target that names a host, upgrades, any transfer coding but `chunked`.
    """

    def __init__(self, *args: Any, bounds: Bounds, **named: Any) -> None:
        super().__init__(*args, **named)
        self._bounds = bounds
        self._refusal = _MALFORMED
        self._head = 0
        """Bytes that came of a head that is not whole."""
        self._whole = False
        """Whether the last byte that came was the last of a request."""
        self._counted = 0
        """Headers of the request that is being read."""
        self._arrival: asyncio.TimerHandle | None = None
        self._departure: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self._joined = Joined(transport, self.loop, self._bounds.patience)
        super().connection_made(self._joined)  # type: ignore[arg-type] # stands in for one
        if len(self.connections) > self._bounds.connections:
            self._refuse(*_FULL)
        else:
            self._await_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._arrival, self._departure):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._whole = False
        self._head += len(data)
        super().data_received(data)
        if self._whole or self.transport.is_closing():
            return
        if self._head > HEAD:
            self._refuse(*_OVERSIZE)
        elif self._arrival is None:
            self._await_arrival()

    def on_message_begin(self) -> None:
        self._whole = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        coded = 0
        for name, value in self.headers:
            if name == b"transfer-encoding":
                coded += 1 if value.lower() == b"chunked" else 2
        version = self.parser.get_http_version()
        # What came may be a body as well, for the most part.
        if self._head > HEAD and sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD - len(self.url):
            self._refusal = _OVERSIZE
            raise ValueError(_OVERSIZE)
        if (
            version not in _VERSIONS
            or self.url[:1] != b"/"
            or self.parser.should_upgrade()
            or coded > (version == "1.1")
            or len(self.pipeline) >= _PIPELINED
        ):
            raise ValueError(_MALFORMED)
        self._counted = len(self.headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if len(self.headers) != self._counted:  # trailers, which are not to be taken for headers (RFC 9110, 6.5.1)
            raise ValueError(_MALFORMED)
        self._head = 0
        self._whole = True
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._joined.flush()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._departure = self.loop.call_later(self._bounds.patience, self._joined.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._departure is not None:
            self._departure.cancel()

    def send_400_response(self, msg: str) -> None:
        self._refuse(*self._refusal)

    def _await_arrival(self) -> None:
        self._arrival = self.loop.call_later(self._bounds.patience, self._overdue)

    def _overdue(self) -> None:
        """What began to arrive is not whole: end the connection, unless it is we who do not read, or still answer."""
        self._arrival = None
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not (self.cycle.response_complete or self.cycle.more_body)
        if self.flow.read_paused or answering:
            self._await_arrival()
        else:
            self._refuse(*_LATE)

    def _refuse(self, status: int, text: str) -> None:
        """Say why and close; only close where that would be taken for the answer to a request before."""
        cycle = self.cycle
        unanswered = cycle is not None and not cycle.response_complete
        own = unanswered and cycle.more_body and not cycle.response_started
        if not self.pipeline and (own or not unanswered):
            body = text.encode()
            length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + b"content-type: text/plain; charset=utf-8\r\n" + length + body)
        self.transport.close()
