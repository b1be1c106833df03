"""Upstreams that are processes of ours: one JSON message a line, both eras, all requests over one pipe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from itertools import count
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from gateway.call import Era, Peer, Result, Silent
from gateway.upstream.exchange import Exchange, Exchanges
from gateway.upstream.failures import garbled, interrupted, unreachable
from gateway.upstream.link import ServerSpec, Signals
from gateway.upstream.process import Process
from gateway.upstream.wire import INITIALIZE, decode, encode, is_answer, listen_filter, outcome, request_params

log = logging.getLogger("toolgate.upstream")

_SHORTEST_SECRET = 6
_LAST_WORDS = 20
_LONGEST_WORD = 500


class StdioLink:
    """One process. When it ends the link is done for: `alive` False, requests in flight Interrupted."""

    watched = True

    def __init__(self, server: ServerSpec, signals: Signals, wanted: Collection[str] = ()) -> None:
        self.era: Era = "legacy"
        self.hello: Mapping[str, Any] = {}
        self.garbage = 0
        self._server = server
        self._signals = signals
        self._wanted = wanted
        self._ids = count(1)
        self._exchanges = Exchanges(server.name, signals, self._reply, self._ids)
        self._process = Process(self._on_line, self._on_exit)
        self._listening: int | None = None
        self._closing = False
        self._secrets: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        return self._process.alive

    async def start(self, values: Mapping[str, str]) -> None:
        """Start the process, with `values` over the configured environment. Raises Unreachable."""
        server = self._server
        env = {**server.env, **values}
        self._secrets = tuple(value for value in env.values() if len(value) >= _SHORTEST_SECRET)
        try:
            await self._process.start(server.command or "", server.args, env, server.cwd)
        except (OSError, ValueError) as error:
            log.error("%s: its command cannot be started (%s)", server.name, type(error).__name__)
            raise unreachable(server.name) from None

    async def discover(self) -> None:
        """Greet in the modern era. Raises UpstreamFailed."""
        self.era = "modern"
        self.hello = await self.request("server/discover", {}, peer=Silent())

    async def initialize(self) -> None:
        """Greet in the legacy era. Raises UpstreamFailed."""
        self.era = "legacy"
        hello = await self.request("initialize", INITIALIZE, peer=Silent())
        if hello.get("protocolVersion") not in HANDSHAKE_PROTOCOL_VERSIONS:
            raise garbled(self._server.name)
        self.hello = hello
        await self.notify("notifications/initialized", {})

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, headers: Mapping[str, str] | None = None
    ) -> Result:
        name = self._server.name
        if not self.alive:
            raise unreachable(name)
        exchange = self._exchanges.begin(params, peer)
        sent = request_params(self.era, exchange.id, params)
        try:
            self._send({"jsonrpc": "2.0", "id": exchange.id, "method": method, "params": sent})
            await self._process.drained()
            return outcome(name, exchange.id, await self._answer(exchange))
        except asyncio.CancelledError:
            if method != "initialize":
                self._cancel(exchange.id)
            raise
        finally:
            self._exchanges.end(exchange)

    async def _answer(self, exchange: Exchange) -> Mapping[str, Any]:
        while True:
            message = await exchange.inbox.get()
            if message is None:
                raise interrupted(self._server.name)
            if is_answer(message):
                return message
            await exchange.take(message)

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        if self.era == "legacy":
            self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def probe(self) -> None:
        await self.request("ping" if self.era == "legacy" else "server/discover", {}, peer=Silent())

    async def watch(self, uri: str, on: bool) -> None:
        if self.era == "legacy":
            await self.request(f"resources/{'' if on else 'un'}subscribe", {"uri": uri}, peer=Silent())
        else:
            self.follow()

    def follow(self) -> None:
        """Modern era: ask for news with `subscriptions/listen`; legacy servers send them unasked."""
        if self.era == "legacy":
            return
        if self._listening is not None:
            self._cancel(self._listening)
            self._listening = None
        asked = listen_filter(self.hello, self._wanted)
        if asked:
            self._listening = id = next(self._ids)
            params = request_params(self.era, id, {"notifications": asked})
            self._send({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._process.send(encode(message))

    async def _reply(self, message: dict[str, Any]) -> None:
        self._send(message)

    def _cancel(self, id: int) -> None:
        """Tell that an answer is not wanted any more. None will come, and nobody waits for one."""
        params = {"requestId": id, "reason": "cancelled by the client"}
        self._send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    def _on_line(self, line: bytes | None) -> None:
        message = None if line is None else decode(line)
        if message is None:
            self._garbage(too_long=line is None)
            return
        if self.era == "modern" and "id" in message and "method" in message:
            return  # this era has no requests from server to client
        exchange = self._exchanges.find(message)
        if exchange is not None:
            exchange.put(message)

    def _garbage(self, *, too_long: bool) -> None:
        """Ignore what is no message, but do not let a call wait for an answer that was too long to keep."""
        self.garbage += 1
        if self.garbage == 1:
            log.warning("%s: writes to standard output what is no message; it is ignored", self._server.name)
        if too_long and len(self._exchanges.open) == 1:
            exchange = next(iter(self._exchanges.open.values()))
            exchange.put({"id": exchange.id, "result": None})

    def _on_exit(self) -> None:
        for exchange in self._exchanges.open.values():
            exchange.put(None)
        if not self._closing:
            log.warning("%s: its process has ended%s", self._server.name, self._last_words())
            self._signals.doubt()

    def _last_words(self) -> str:
        """The end of its standard error, without the secrets we know, for the operator's log."""
        text = self._process.last_words.decode("utf-8", "replace")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        lines = [line[:_LONGEST_WORD] for line in text.splitlines()[-_LAST_WORDS:]]
        return "; its last words:" + "".join(f"\n  {line}" for line in lines) if lines else ""

    async def close(self, *, at_once: bool = False) -> None:
        self._closing = True
        self._exchanges.close()
        if at_once:
            await self._process.stop(grace=0)
        else:
            await self._process.stop()
