"""One configured server, kept connected for the life of the gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from gateway.call import Credential, Era, Peer, Result
from gateway.errors import Interrupted, Unreachable, UpstreamError, UpstreamFailed
from gateway.sdk.inbound import mcp_param_headers, x_mcp_header_map
from gateway.upstream.branches import Branches
from gateway.upstream.failures import describe, interrupted, refuses_credential, unreachable
from gateway.upstream.link import UPDATED, Link, Listing, ServerSpec, Signals
from gateway.upstream.listing import fetch
from gateway.upstream.negotiate import Connector, connector_of
from gateway.upstream.pace import Pace

log = logging.getLogger("toolgate.upstream")

_PROBE_UNWATCHED = 3.0
_PROBE_WATCHED = 30.0
_PROBE_PATIENCE = 5.0
_SLOW_PROBES = 3
"""A probe answered too late is no sign of death, for the server may be busy, until so many are in a row."""
_SETTLED = 5.0
"""Seconds up after which the next failure counts as a new one: attempts begin fast again."""
_DEBOUNCE = 0.05

_NO_HEADERS: Mapping[str, str] = {}


class Upstream:
    """One configured server: connected, listed, watched and reconnected for as long as `run` runs.

    While it is down every request raises Unreachable at once, and `hello` and `listing` are the last known.
    `on_listing` is called when `up` or `listing` has changed, `on_notice` for a list that changed (after it
    was read again) and a resource that was updated; both return at once. `ready` is set when the first
    attempt has ended, well or not. `restarts` counts how often the server came back; `failure` is what went wrong last,
    and when (seconds since the epoch).
    """

    def __init__(
        self,
        server: ServerSpec,
        *,
        on_listing: Callable[[Upstream], None],
        on_notice: Callable[[Upstream, str, dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = server.name
        self.era: Era | None = None
        self.hello: Mapping[str, Any] = {}
        self.listing = Listing()
        self.restarts = 0
        self.failure: tuple[float, str] | None = None
        self._told: str | None = None
        self.ready = asyncio.Event()
        self._server = server
        self._on_listing = on_listing
        self._on_notice = on_notice
        self._clock = clock
        self._connector: Connector | None = None
        self._link: Link | None = None
        self._branches = Branches(self._branch)
        self._param_headers: Mapping[str, Mapping[tuple[str, ...], str]] = {}
        self._wanted: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._stale: dict[str, dict[str, Any]] = {}
        self._renewed = False
        self._signals = Signals(self._notice, self._wake.set, self._renew)

    @property
    def up(self) -> bool:
        return self._link is not None

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, credential: Credential | None = None
    ) -> Result:
        """One request, under the gateway's own credential or the one given. Raises UpstreamFailed."""
        headers = self._headers(method, params)
        try:
            link = await self._link_for(credential)
            return await link.request(method, params, peer=peer, headers=headers)
        except (Unreachable, Interrupted):
            self._wake.set()
            raise

    async def notify(self, method: str, params: dict[str, Any], *, credential: Credential | None = None) -> None:
        """One notification; dropped in an era that has none. Raises UpstreamFailed."""
        await (await self._link_for(credential)).notify(method, params)

    async def subscribe(self, uri: str) -> None:
        """Have `on_notice` told of updates of a resource, also after a reconnection. Calls are counted.

        Raises UpstreamFailed; then nothing is counted.
        """
        self._wanted[uri] += 1
        if self._wanted[uri] == 1 and self._link is not None:
            try:
                await self._link.watch(uri, True)
            except BaseException:
                del self._wanted[uri]
                raise

    async def unsubscribe(self, uri: str) -> None:
        """Undo one `subscribe`."""
        self._wanted[uri] -= 1
        if self._wanted[uri] <= 0:
            del self._wanted[uri]
            if self._link is not None:
                await self._link.watch(uri, False)

    async def _link_for(self, credential: Credential | None) -> Link:
        if self._link is None:
            raise unreachable(self.name)
        return self._link if credential is None else await self._branches.link(credential)

    async def _branch(self, credential: Credential) -> Link:
        if self._link is None or self._connector is None:
            raise unreachable(self.name)
        try:
            return await self._connector.branch(credential.values, self._signals, self._link)
        except UpstreamError:
            raise
        except UpstreamFailed:
            raise unreachable(self.name) from None  # the handshake failed: the call itself was never sent

    def _headers(self, method: str, params: Mapping[str, Any]) -> Mapping[str, str]:
        """`Mcp-Param-*` headers of a call, for the arguments its schema marks so."""
        named = self._param_headers.get(params.get("name", "")) if method == "tools/call" else None
        arguments = params.get("arguments")
        return mcp_param_headers(named, arguments) if named and isinstance(arguments, dict) else _NO_HEADERS

    async def run(self) -> None:
        """Connect, list, watch, reconnect, for ever. Cancel it to stop; it leaves nothing behind."""
        self._connector = connector = connector_of(self._server, self._wanted)
        pace = Pace()
        try:
            while True:
                begun = self._clock()
                try:
                    await self._hold(connector)
                except UpstreamFailed as failed:
                    self._failed(logging.WARNING, describe(failed))
                except Exception as error:
                    self._failed(logging.ERROR, f"unexpected {type(error).__name__}")
                self.ready.set()
                if self._clock() - begun > _SETTLED:
                    pace.reset()
                await pace.wait()
        finally:
            await self._branches.close()
            await connector.close()

    def _failed(self, level: int, what: str) -> None:
        """Note a failure; the log is told of it once, however often it comes again before the server is up."""
        self.failure = time.time(), what
        log.log(logging.DEBUG if what == self._told else level, "%s: %s", self.name, what)
        self._told = what

    async def _hold(self, connector: Connector) -> None:
        """Connect, and stay until the connection fails. Raises UpstreamFailed."""
        known, self.era = self.era, None
        try:
            link = await connector.open(self._signals, known)
        except Unreachable:
            self.era = known
            raise
        try:
            await self._greet(link, known)
            await self._stay(link)
        finally:
            if self._link is not None:
                self._link = None
                self._on_listing(self)
            await link.close()

    async def _greet(self, link: Link, known: Era | None) -> None:
        listing = await self._fetch(link)
        if known not in (None, link.era):
            await self._branches.close()
        self.era, self.hello = link.era, link.hello
        self._take(listing)
        self._stale.clear()
        self._wake.clear()
        await self._resubscribe(link)
        link.follow()
        self._link = link
        self._told = None
        self.restarts += self.ready.is_set()
        self.ready.set()
        log.info("%s: up, %s era, %d tools", self.name, link.era, len(listing.tools))
        self._on_listing(self)

    async def _stay(self, link: Link) -> None:
        slow = 0
        while True:
            try:
                async with asyncio.timeout(_PROBE_WATCHED if link.watched else _PROBE_UNWATCHED):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if self._stale or self._renewed:
                await self._relist(link)
                continue
            try:
                async with asyncio.timeout(_PROBE_PATIENCE):
                    await link.probe()
                slow = 0
            except UpstreamError as error:
                if refuses_credential(error):
                    raise
            except TimeoutError:
                slow += 1
                if slow == _SLOW_PROBES:
                    raise interrupted(self.name) from None

    async def _relist(self, link: Link) -> None:
        await asyncio.sleep(_DEBOUNCE)
        stale, self._stale = self._stale, {}
        renewed, self._renewed = self._renewed, False
        if renewed:
            await self._resubscribe(link)
        listing = await self._fetch(link)
        if listing != self.listing:
            self._take(listing)
            self._on_listing(self)
        for method, params in stale.items():
            self._on_notice(self, method, params)

    async def _resubscribe(self, link: Link) -> None:
        """A legacy session knows nothing of the one before; a modern stream asks for what is wanted itself."""
        if link.era == "legacy":
            for uri in [*self._wanted]:
                with suppress(UpstreamError):  # the resource may be gone
                    await link.watch(uri, True)

    async def _fetch(self, link: Link) -> Listing:
        try:
            async with asyncio.timeout(self._server.timeout):
                return await fetch(self.name, link)
        except TimeoutError:
            raise interrupted(self.name) from None

    def _take(self, listing: Listing) -> None:
        self.listing = listing
        maps = {tool["name"]: x_mcp_header_map(tool["inputSchema"]) for tool in listing.tools}
        self._param_headers = {name: named for name, named in maps.items() if named}

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        if method == UPDATED:
            self._on_notice(self, method, params)
        else:
            self._stale[method] = params
            self._wake.set()

    def _renew(self) -> None:
        self._renewed = True
        self._wake.set()
