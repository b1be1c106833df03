"""What the parts of this package share: the shape of a connection, and of what it connects to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from gateway.call import Era, Peer, Result

UPDATED = "notifications/resources/updated"
NOTICES = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/resources/list_changed",
        "notifications/prompts/list_changed",
        UPDATED,
    }
)
"""Notifications about the upstream, not about a request."""


class ServerSpec(Protocol):
    """What is read of a configured server. Values of `headers` and `env` may be secrets."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def command(self) -> str | None: ...
    @property
    def args(self) -> Sequence[str]: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    @property
    def cwd(self) -> Path | str | None: ...
    @property
    def era(self) -> Literal["auto", "legacy", "modern"]: ...
    @property
    def timeout(self) -> float: ...


class Link(Protocol):
    """One connection to one upstream under one credential.

    `hello` is the InitializeResult or DiscoverResult as received. `watched` says that the connection itself
    tells of its end (a standing stream, a process), so that it need not be probed often.
    """

    era: Era
    hello: Mapping[str, Any]

    @property
    def watched(self) -> bool: ...
    @property
    def alive(self) -> bool:
        """False when no request can ever succeed on this link again."""

    async def request(
        self, method: str, params: dict[str, Any], *, peer: Peer, headers: Mapping[str, str] = ...
    ) -> Result:
        """Send one request and wait. Cancelling the wait cancels the request at the upstream.

        Raises Unreachable, Interrupted, Garbled or UpstreamError.
        """

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send one notification; silently dropped in an era that has none. Raises UpstreamFailed."""

    async def probe(self) -> None:
        """Ask for a sign of life. Raises UpstreamFailed."""

    async def watch(self, uri: str, on: bool) -> None:
        """Be told of updates of a resource, or no more. Raises UpstreamFailed."""

    def follow(self) -> None:
        """Begin to listen for what the upstream says unasked."""

    async def close(self) -> None:
        """End the connection and everything that belongs to it. Never raises."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What a link says unasked: to whoever supervises it."""

    notice: Callable[[str, dict[str, Any]], None]
    """A notification about the upstream: method and params."""
    doubt: Callable[[], None]
    """The connection looks dead: probe it."""
    renewed: Callable[[], None]
    """The stream or session is a new one: what was listed before may be stale."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What an upstream offers: raw dicts as published, all pages."""

    tools: tuple[Mapping[str, Any], ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()
    templates: tuple[Mapping[str, Any], ...] = ()
    prompts: tuple[Mapping[str, Any], ...] = ()
