"""One HTTP endpoint: requests go out exactly once, answers are read within bounds, redirects are not followed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from gateway.errors import UpstreamError, UpstreamFailed
from gateway.upstream.failures import garbled, interrupted, of_client, unreachable
from gateway.upstream.pool import Pool
from gateway.upstream.response import HttpFailed, Response
from gateway.upstream.sse import Events, TooLong
from gateway.upstream.wire import BIGGEST_MESSAGE, CLIENT_INFO, decode

log = logging.getLogger("toolgate.upstream")

ALWAYS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"toolgate/{CLIENT_INFO['version']}",
}
_LONGEST_RETRY_AFTER = 3600


class Door:
    """The endpoint of one upstream, shared by its links."""

    def __init__(self, server: str, pool: Pool, url: str) -> None:
        self.server = server
        self._pool = pool
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @asynccontextmanager
    async def send(self, method: str, headers: Mapping[str, str], body: bytes = b"") -> AsyncIterator[Response]:
        """One request; leaving the block by an exception cancels it. Raises UpstreamFailed, also while reading."""
        try:
            response = await self._pool.request(method, self._target, headers, body)
        except ValueError as error:
            log.error("%s: nothing was sent: %s", self.server, error)
            raise unreachable(self.server) from None
        except HttpFailed as error:
            raise of_client(self.server, error) from None
        try:
            yield response
        except BaseException as error:
            response.close()
            if isinstance(error, HttpFailed):
                raise of_client(self.server, error) from None
            raise
        response.leave()

    async def body(self, response: Response) -> dict[str, Any] | None:
        """The JSON object of a response; None when it is none. Raises Malformed when it is too big."""
        return decode(await response.read(BIGGEST_MESSAGE))

    async def failure(self, response: Response) -> UpstreamFailed:
        """What a response with another status than 200 means."""
        status = response.status
        if status >= 400 and kind(response) == "application/json":
            error = (await self.body(response) or {}).get("error")
            if isinstance(error, dict):
                code, text = error.get("code"), error.get("message")
                if isinstance(code, int) and isinstance(text, str):
                    return UpstreamError(code, text, error.get("data"))
        if status in (401, 403):
            return UpstreamError(status, f"{self.server} does not accept the gateway's credential.")
        if status == 429 or status >= 500:
            return interrupted(self.server, retry_after=_retry_after(response))
        return garbled(self.server)


class Messages:
    """The messages of an event stream, until it ends. Iterating raises Garbled."""

    def __init__(self, server: str, response: Response, events: Events) -> None:
        self._server = server
        self._response = response
        self._events = events
        self._waiting: deque[bytes] = deque()

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._waiting:
            chunk = await self._response.chunk()
            if not chunk:
                raise StopAsyncIteration
            try:
                self._waiting.extend(self._events.feed(chunk))
            except TooLong:
                raise garbled(self._server) from None
        message = decode(self._waiting.popleft())
        if message is None:
            raise garbled(self._server)
        return message


def kind(response: Response) -> str:
    """The media type of a response, lower case, without parameters."""
    return response.header("content-type").partition(";")[0].strip().lower()


def _retry_after(response: Response) -> float | None:
    value = response.header("retry-after")
    return float(min(int(value), _LONGEST_RETRY_AFTER)) if value.isdecimal() and len(value) < 10 else None
