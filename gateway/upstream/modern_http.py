"""Upstreams of the modern era over HTTP: one self-contained POST a request, no session."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from itertools import count
from typing import Any

from gateway.call import Era, Peer, Result, Silent
from gateway.errors import UpstreamError, UpstreamFailed
from gateway.sdk.inbound import NAME_BEARING_METHODS, encode_header_value
from gateway.upstream.exchange import Exchange
from gateway.upstream.failures import interrupted
from gateway.upstream.http import ALWAYS, Door, Messages, kind
from gateway.upstream.link import NOTICES, Signals
from gateway.upstream.pace import Pace
from gateway.upstream.sse import Events
from gateway.upstream.wire import METHOD_NOT_FOUND, MODERN, encode, is_answer, listen_filter, outcome, request_params

_LISTEN = "subscriptions/listen"
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_NO_HEADERS: Mapping[str, str] = {}


class ModernHttpLink:
    """Stateless, so one link serves any number of calls; closing a response is what cancels its request.

    `wanted` is asked for the URIs of resources to be told of whenever the standing stream is opened.
    """

    era: Era = "modern"
    alive = True

    def __init__(self, door: Door, headers: Mapping[str, str], signals: Signals, wanted: Collection[str] = ()) -> None:
        self.hello: Mapping[str, Any] = {}
        self.watched = False
        self._door = door
        self._headers = {**headers, **ALWAYS, "MCP-Protocol-Version": MODERN}
        self._signals = signals
        self._wanted = wanted
        self._ids = count(1)
        self._broken = False
        self._follower: asyncio.Task[None] | None = None

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Result:
        door, exchange = self._door, Exchange(next(self._ids), params, peer, self._signals, _no_reply)
        sent = request_params("modern", exchange.id, params)
        body = encode({"jsonrpc": "2.0", "id": exchange.id, "method": method, "params": sent})
        async with door.send("POST", self._head(method, params, headers), body) as response:
            if response.status != 200:
                raise await door.failure(response)
            match kind(response):
                case "application/json":
                    return outcome(door.server, exchange.id, await door.body(response) or {})
                case "text/event-stream":
                    async for message in Messages(door.server, response, Events()):
                        if is_answer(message):
                            return outcome(door.server, exchange.id, message)
                        if "id" not in message:  # this era has no requests from server to client
                            await exchange.take(message)
                    raise interrupted(door.server)
                case _:
                    return outcome(door.server, exchange.id, {})

    def _head(self, method: str, params: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, str]:
        head = {**self._headers, "Mcp-Method": method, **more}
        key = NAME_BEARING_METHODS.get(method)
        name = params.get(key) if key else None
        if isinstance(name, str):
            head["Mcp-Name"] = encode_header_value(name)
        return head

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Nothing: this era has no notifications from client to server."""

    async def discover(self) -> None:
        self.hello = await self.request("server/discover", {}, peer=Silent())

    async def probe(self) -> None:
        await self.request("server/discover", {}, peer=Silent())

    def follow(self) -> None:
        if self._follower is None and listen_filter(self.hello, self._wanted):
            self._follower = asyncio.create_task(self._follow())

    async def watch(self, uri: str, on: bool) -> None:
        """Open the standing stream anew, for `wanted` has changed."""
        if self._follower is not None:
            self._follower.cancel()
            self._follower = None
        self.follow()

    async def _follow(self) -> None:
        """Keep the standing stream open for as long as the server offers one."""
        pace = Pace()
        while True:
            try:
                await self._listen(pace)
            except UpstreamError:
                return
            except UpstreamFailed:
                pass
            finally:
                self.watched = False
            self._broken = True
            self._signals.doubt()
            await pace.wait()

    async def _listen(self, pace: Pace) -> None:
        door, id, params = self._door, next(self._ids), {"notifications": listen_filter(self.hello, self._wanted)}
        sent = request_params("modern", id, params)
        body = encode({"jsonrpc": "2.0", "id": id, "method": _LISTEN, "params": sent})
        async with door.send("POST", self._head(_LISTEN, params, {}), body) as response:
            if response.status != 200:
                raise await door.failure(response)
            if kind(response) != "text/event-stream":
                outcome(door.server, id, await door.body(response) or {})
                raise UpstreamError(METHOD_NOT_FOUND, "subscriptions/listen was answered without a stream")
            async for message in Messages(door.server, response, Events()):
                if is_answer(message):
                    return
                if message["method"] == _ACKNOWLEDGED:
                    self._listening(pace)
                elif message["method"] in NOTICES:
                    self._signals.notice(message["method"], message.get("params") or {})

    def _listening(self, pace: Pace) -> None:
        """The stream stands. After a break there is no replay, so what was listed may be stale."""
        if self._broken:
            self._signals.renewed()
        self.watched, self._broken = True, False
        pace.reset()

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None


async def _no_reply(message: dict[str, Any]) -> None:
    """Questions are never taken in this era, so there is nothing to answer."""
