"""Opens links: finds out which era an upstream speaks, and remembers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from gateway.call import Era
from gateway.errors import Unreachable, UpstreamError, UpstreamFailed
from gateway.upstream.failures import garbled, interrupted, refuses_credential
from gateway.upstream.groups import GROUPS
from gateway.upstream.http import Door
from gateway.upstream.legacy_http import LegacyHttpLink
from gateway.upstream.link import Link, ServerSpec, Signals
from gateway.upstream.modern_http import ModernHttpLink
from gateway.upstream.pool import Pool
from gateway.upstream.stdio import StdioLink
from gateway.upstream.wire import MODERN, UNSUPPORTED_VERSION

_HANDSHAKES = frozenset(HANDSHAKE_PROTOCOL_VERSIONS)
_PATIENCE = 10.0
"""Seconds an HTTP server has for `server/discover`, and again for `initialize`."""
_PROBE_PATIENCE = 3.0
"""Seconds a process has to answer `server/discover` before it is taken to be legacy."""
_START_PATIENCE = 60.0
"""Seconds a process has to start: it may have to be downloaded first."""


class Connector(Protocol):
    """Makes links to one upstream."""

    async def open(self, signals: Signals, era: Era | None) -> Link:
        """The upstream's own link, ready for requests; `era` is the one that worked before, None to find out.

        Raises UpstreamFailed, as `branch` does.
        """

    async def branch(self, values: Mapping[str, str], signals: Signals, base: Link) -> Link:
        """A link beside `base`, ready for requests, under another credential."""

    async def close(self) -> None: ...


def connector_of(server: ServerSpec, wanted: Collection[str]) -> Connector:
    """`wanted`: the URIs of resources to be told of, asked whenever a standing stream is opened."""
    if server.url is None:
        return StdioConnector(server, wanted)
    return HttpConnector(server, server.url, wanted)


class HttpConnector:
    """Links to a url; they share one pool of connections. `wanted`: see ModernHttpLink."""

    def __init__(self, server: ServerSpec, url: str, wanted: Collection[str]) -> None:
        self._server = server
        self._pool = Pool(url)
        self._door = Door(server.name, self._pool, url)
        self._wanted = wanted

    async def open(self, signals: Signals, era: Era | None) -> Link:
        headers = dict(self._server.headers)
        declared = era or self._server.era
        if declared == "legacy":
            return await self._legacy(headers, signals)
        link = ModernHttpLink(self._door, headers, signals, self._wanted)
        try:
            async with _patience(self._server.name, _PATIENCE):
                await link.discover()
            if speaks_modern(link):
                return link
            failed: UpstreamFailed = garbled(self._server.name)
        except UpstreamFailed as error:
            failed = error
        if declared == "modern" or not may_be_legacy(failed):
            raise failed
        return await self._legacy(headers, signals)

    async def branch(self, values: Mapping[str, str], signals: Signals, base: Link) -> Link:
        # Not one header of the gateway's own: an agent's requests carry what was given to that agent, nothing else.
        headers = values
        if base.era == "modern":
            link = ModernHttpLink(self._door, headers, signals)
            link.hello = base.hello
            return link
        session = await self._legacy(headers, signals)
        session.follow()
        return session

    async def _legacy(self, headers: Mapping[str, str], signals: Signals) -> LegacyHttpLink:
        link = LegacyHttpLink(self._door, headers, signals)
        async with _patience(self._server.name, _PATIENCE):
            await link.initialize()
        return link

    async def close(self) -> None:
        await self._pool.close()


class StdioConnector:
    """Links to a command; each is a process of its own."""

    def __init__(self, server: ServerSpec, wanted: Collection[str]) -> None:
        self._server = server
        self._wanted = wanted
        GROUPS.hold()

    async def open(self, signals: Signals, era: Era | None) -> Link:
        declared = era or self._server.era
        if declared != "auto":
            return await self._greeted({}, signals, declared, self._wanted)
        link = await self._started({}, signals, self._wanted)
        try:
            async with asyncio.timeout(_PROBE_PATIENCE):
                await link.discover()
            if speaks_modern(link):
                return link
            failed: UpstreamFailed = garbled(self._server.name)
        except TimeoutError:
            failed = interrupted(self._server.name)
        except UpstreamFailed as error:
            failed = error
        except BaseException:
            await link.close(at_once=True)
            raise
        if isinstance(failed, UpstreamError) and may_be_legacy(failed) and link.alive:
            return await self._greet(link, "legacy")
        await link.close(at_once=True)  # it did not survive the question, or is still busy with it
        if not may_be_legacy(failed):
            raise failed
        return await self._greeted({}, signals, "legacy", self._wanted)

    async def branch(self, values: Mapping[str, str], signals: Signals, base: Link) -> Link:
        return await self._greeted(values, signals, base.era, ())

    async def _greeted(self, values: Mapping[str, str], signals: Signals, era: Era, wanted: Collection[str]) -> Link:
        return await self._greet(await self._started(values, signals, wanted), era)

    async def _started(self, values: Mapping[str, str], signals: Signals, wanted: Collection[str]) -> StdioLink:
        link = StdioLink(self._server, signals, wanted)
        await link.start(values)
        return link

    async def _greet(self, link: StdioLink, era: Era) -> Link:
        try:
            async with _patience(self._server.name, _START_PATIENCE):
                await (link.discover() if era == "modern" else link.initialize())
            if era == "modern" and not speaks_modern(link):
                raise garbled(self._server.name)
        except BaseException:
            await link.close(at_once=True)
            raise
        return link

    async def close(self) -> None:
        GROUPS.release()


def speaks_modern(link: Link) -> bool:
    versions = link.hello.get("supportedVersions")
    return isinstance(versions, list) and MODERN in versions


def may_be_legacy(failed: UpstreamFailed) -> bool:
    """Whether a refused `server/discover` leaves room for `initialize`: all but an outage or a bad credential.

    So do the SDK's clients: anything that is no positive sign of the modern era counts as legacy.
    """
    if isinstance(failed, Unreachable):
        return False
    if isinstance(failed, UpstreamError):
        if failed.code == UNSUPPORTED_VERSION and isinstance(failed.data, dict):
            supported = failed.data.get("supported")
            return not isinstance(supported, list) or bool(_HANDSHAKES.intersection(map(str, supported)))
        return not refuses_credential(failed)
    return True


@asynccontextmanager
async def _patience(server: str, seconds: float) -> AsyncIterator[None]:
    """Turn a handshake that takes too long into a failure of the upstream."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise interrupted(server) from None
