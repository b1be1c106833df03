"""Upstreams of the legacy era over HTTP (2025-03-26 to 2025-11-25): a session, event streams, resumption."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from gateway.call import Era, Peer, Result, Silent
from gateway.errors import Interrupted, Unreachable, UpstreamError, UpstreamFailed
from gateway.upstream.exchange import Exchange, Exchanges
from gateway.upstream.failures import garbled, interrupted, unreachable
from gateway.upstream.http import ALWAYS, Door, Messages, kind
from gateway.upstream.link import Signals
from gateway.upstream.pace import Pace
from gateway.upstream.response import Response
from gateway.upstream.sse import Events
from gateway.upstream.wire import (
    INITIALIZE,
    METHOD_NOT_FOUND,
    encode,
    is_answer,
    outcome,
    request_params,
)

log = logging.getLogger("toolgate.upstream")

_SESSION = "Mcp-Session-Id"
_FAREWELL = 2.0
"""Seconds that a cancellation or the end of a session may take: nobody waits for them."""
_RESUME_FAILURES = 3
_LONGEST_RESUME = 30.0


class _SessionGone(Exception):
    """The server does not know our session (any more); what was sent was not processed."""


class LegacyHttpLink:
    """One session. A session the server forgot is opened anew, once, and the request sent again."""

    era: Era = "legacy"
    alive = True

    def __init__(self, door: Door, headers: Mapping[str, str], signals: Signals) -> None:
        self.hello: Mapping[str, Any] = {}
        self.watched = False
        self._door = door
        self._base = {**headers, **ALWAYS}
        self._headers: Mapping[str, str] = self._base
        self._granted: str | None = None
        self._signals = signals
        self._exchanges = Exchanges(door.server, signals, self._reply)
        self._renewing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def initialize(self) -> None:
        """Open a session; until it is open, requests still carry the one before. Raises UpstreamFailed."""
        exchange = self._exchanges.begin(INITIALIZE, Silent())
        try:
            hello = await self._post(exchange, _request(exchange.id, "initialize", INITIALIZE), self._base)
        finally:
            self._exchanges.end(exchange)
        version = hello.get("protocolVersion")
        if version not in HANDSHAKE_PROTOCOL_VERSIONS:
            log.error("%s: speaks a protocol revision that is not known here", self._door.server)
            raise garbled(self._door.server)
        headers = {**self._base, "MCP-Protocol-Version": version}
        if self._granted is not None:
            headers[_SESSION] = self._granted
        await self._send({"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
        self.hello, self._headers = hello, headers

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, headers: Mapping[str, str] | None = None
    ) -> Result:
        exchange = self._exchanges.begin(params, peer)
        body = _request(exchange.id, method, request_params("legacy", exchange.id, params))
        session = self._headers
        try:
            try:
                return await self._post(exchange, body, session)
            except _SessionGone:
                await self._renew(session)
                return await self._post(exchange, body, self._headers)
        except _SessionGone:
            raise unreachable(self._door.server) from None
        except asyncio.CancelledError:
            self._spawn(self._cancel(exchange.id))
            raise
        finally:
            self._exchanges.end(exchange)

    async def _renew(self, stale: Mapping[str, str]) -> None:
        async with self._renewing:
            if self._headers is not stale:
                return
            try:
                await self.initialize()
            except (UpstreamError, Unreachable):
                raise
            except UpstreamFailed:
                raise unreachable(self._door.server) from None
        self._signals.renewed()

    async def _post(self, exchange: Exchange, body: bytes, headers: Mapping[str, str]) -> Result:
        door, events = self._door, Events()
        try:
            async with door.send("POST", headers, body) as response:
                if response.status != 200:
                    raise await self._failure(response, headers)
                if headers is self._base:
                    self._granted = response.header(_SESSION.lower()) or None
                match kind(response):
                    case "application/json":
                        return outcome(door.server, exchange.id, await door.body(response) or {})
                    case "text/event-stream":
                        answer = await self._drain(response, events, exchange)
                        if answer is not None:
                            return outcome(door.server, exchange.id, answer)
                    case _:
                        raise garbled(door.server)
        except Interrupted:
            if events.last_id is None:
                raise
        if events.last_id is None:
            raise interrupted(door.server)
        await exchange.rest()
        return outcome(door.server, exchange.id, await self._resume(exchange, events, headers))

    async def _failure(self, response: Response, headers: Mapping[str, str]) -> Exception:
        failed = await self._door.failure(response)
        unknown_method = isinstance(failed, UpstreamError) and failed.code == METHOD_NOT_FOUND
        if response.status == 404 and _SESSION in headers and not unknown_method:
            return _SessionGone()
        return failed

    async def _drain(self, response: Response, events: Events, exchange: Exchange) -> dict[str, Any] | None:
        """Follow a request's stream; the answer, or None when the stream ends before it."""
        async for message in Messages(self._door.server, response, events):
            if is_answer(message):
                return message
            await exchange.take(message)
        return None

    async def _resume(self, exchange: Exchange, events: Events, headers: Mapping[str, str]) -> dict[str, Any]:
        """Go on waiting for an answer whose stream was closed early (SEP-1699), by Last-Event-ID."""
        failures = 0
        while failures < _RESUME_FAILURES:
            await asyncio.sleep(min(max(events.retry or 0.0, 0.1), _LONGEST_RESUME))
            events = events.resumed()
            resume = {**headers, "Last-Event-ID": events.last_id or ""}
            try:
                async with self._door.send("GET", resume) as response:
                    if response.status == 200 and kind(response) == "text/event-stream":
                        failures = 0
                        answer = await self._drain(response, events, exchange)
                        if answer is not None:
                            return answer
                    else:
                        failures += 1
            except (Interrupted, Unreachable):
                failures += 1
        raise interrupted(self._door.server)

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        await self._send({"jsonrpc": "2.0", "method": method, "params": params}, self._headers)

    async def _reply(self, message: dict[str, Any]) -> None:
        await self._send(message, self._headers)

    async def _send(self, message: dict[str, Any], headers: Mapping[str, str]) -> None:
        async with self._door.send("POST", headers, encode(message)) as response:
            if response.status >= 400:
                raise await self._door.failure(response)

    async def _cancel(self, id: int) -> None:
        with suppress(UpstreamFailed, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self.notify("notifications/cancelled", {"requestId": id, "reason": "cancelled by the client"})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def probe(self) -> None:
        await self.request("ping", {}, peer=Silent())

    async def watch(self, uri: str, on: bool) -> None:
        await self.request(f"resources/{'' if on else 'un'}subscribe", {"uri": uri}, peer=Silent())

    def follow(self) -> None:
        self._spawn(self._follow())

    async def _follow(self) -> None:
        """Keep the GET stream open for as long as the server offers one."""
        pace, events, first = Pace(), Events(), True
        while True:
            try:
                resume = {"Last-Event-ID": events.last_id} if events.last_id else {}
                async with self._door.send("GET", {**self._headers, **resume}) as response:
                    if response.status in (400, 405, 406, 501):
                        return
                    if response.status == 200 and kind(response) == "text/event-stream":
                        self.watched = True
                        pace.reset()
                        if not first:
                            self._signals.renewed()
                        first = False
                        events = events.resumed()
                        await self._hear(response, events)
            except UpstreamFailed:
                pass
            finally:
                self.watched = False
            self._signals.doubt()
            await pace.wait()

    async def _hear(self, response: Response, events: Events) -> None:
        async for message in Messages(self._door.server, response, events):
            exchange = self._exchanges.find(message)
            if exchange is not None and not is_answer(message):
                await exchange.take(message)

    async def close(self) -> None:
        for task in [*self._tasks]:
            task.cancel()
        self._exchanges.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if _SESSION in self._headers:
            with suppress(UpstreamFailed, TimeoutError):
                async with asyncio.timeout(_FAREWELL), self._door.send("DELETE", self._headers):
                    pass


def _request(id: int, method: str, params: Mapping[str, Any]) -> bytes:
    return encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
