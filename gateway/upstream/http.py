"""One HTTP endpoint: requests go out exactly once, answers are read within bounds, redirects are not followed."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from gateway.errors import UpstreamError, UpstreamFailed
from gateway.upstream.failures import garbled, interrupted, of_client
from gateway.upstream.sse import Events, TooLong
from gateway.upstream.wire import BIGGEST_MESSAGE, CLIENT_INFO, decode

ALWAYS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"toolgate/{CLIENT_INFO['version']}",
}
_LONGEST_RETRY_AFTER = 3600


def client_session() -> aiohttp.ClientSession:
    """A pool for one upstream: no cookies, no proxy or netrc from the environment, no bound of its own.

    How many calls run at once is decided by a control, how long they take by another.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=4),
        trust_env=False,
        raise_for_status=False,
    )


class Door:
    """The endpoint of one upstream, shared by its links. aiohttp never repeats a POST by itself."""

    def __init__(self, server: str, session: aiohttp.ClientSession, url: str) -> None:
        self.server = server
        self._session = session
        self._url = URL(url)

    @asynccontextmanager
    async def send(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; leaving the block closes the response. Raises UpstreamFailed, also while reading."""
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._session.request(method, self._url, headers=headers, data=body, allow_redirects=False)
            yield response
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise of_client(self.server, error) from None
        finally:
            if response is not None:
                response.close()

    async def body(self, response: aiohttp.ClientResponse) -> dict[str, Any] | None:
        """The JSON object of a response; None when it is none. Raises Garbled when it is too big."""
        if (response.content_length or 0) > BIGGEST_MESSAGE:
            raise garbled(self.server)
        data = await response.content.readany()
        if not response.content.at_eof():
            whole = bytearray(data)
            while chunk := await response.content.readany():
                whole += chunk
                if len(whole) > BIGGEST_MESSAGE:
                    raise garbled(self.server)
            return decode(whole)
        return decode(data)

    async def failure(self, response: aiohttp.ClientResponse) -> UpstreamFailed:
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

    def __init__(self, server: str, response: aiohttp.ClientResponse, events: Events) -> None:
        self._server = server
        self._response = response
        self._events = events
        self._waiting: deque[bytes] = deque()

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> dict[str, Any]:
        while not self._waiting:
            chunk = await self._response.content.readany()
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


def kind(response: aiohttp.ClientResponse) -> str:
    """The media type of a response, lower case, without parameters."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(min(int(value), _LONGEST_RETRY_AFTER)) if value.isdecimal() and len(value) < 10 else None
