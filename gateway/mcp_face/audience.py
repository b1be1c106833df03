"""Who hears of changes: legacy sessions and modern listen streams, each only of what its agent may see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("toolgate.audience")

UPDATED = "notifications/resources/updated"
LIST_CHANGED = {
    "tools": "notifications/tools/list_changed",
    "resources": "notifications/resources/list_changed",
    "prompts": "notifications/prompts/list_changed",
}
MAX_URIS = 256
"""Resources one client may subscribe to at once."""

Deliver = Callable[[str, dict[str, Any]], None]
"""Takes a notification (method, params) for a client; returns at once."""


@dataclass(slots=True, eq=False)
class Listener:
    """One client that wants to know. `server` None: it watches all servers."""

    agent: str
    server: str | None
    lists: frozenset[str] = frozenset()
    uris: set[tuple[str, str]] = field(default_factory=set)
    """(server, URI) pairs this client subscribed to."""


class Audience:
    """Every listener of this process."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, Deliver] = {}

    def join(self, listener: Listener, deliver: Deliver) -> None:
        self._listeners[listener] = deliver

    def leave(self, listener: Listener) -> None:
        self._listeners.pop(listener, None)

    def lists_changed(self, server: str, kinds: frozenset[str], concerns: Callable[[str], bool]) -> None:
        """Tell listeners whose agent `concerns` that lists of `server` changed; `kinds` as in LIST_CHANGED."""
        for listener, deliver in list(self._listeners.items()):
            if listener.server in (None, server) and concerns(listener.agent):
                for kind in sorted(kinds & listener.lists):
                    _deliver(deliver, LIST_CHANGED[kind], {})

    def rights_changed(self, kinds: Mapping[str, frozenset[str]]) -> None:
        """Tell the listeners of each agent which kinds of lists its new rights change, on any server."""
        for listener, deliver in list(self._listeners.items()):
            for kind in sorted(kinds.get(listener.agent, frozenset()) & listener.lists):
                _deliver(deliver, LIST_CHANGED[kind], {})

    def narrow(self, allowed: Callable[[str, str, str], bool]) -> None:
        """Drop subscriptions to what a listener's agent (agent, server, URI) may not read any more."""
        for listener in self._listeners:
            listener.uris = {(server, uri) for server, uri in listener.uris if allowed(listener.agent, server, uri)}

    def resource_updated(self, server: str, uri: str, params: dict[str, Any]) -> None:
        for listener, deliver in list(self._listeners.items()):
            if (server, uri) in listener.uris:
                _deliver(deliver, UPDATED, params)

    def subscribed(self) -> set[tuple[str, str]]:
        """Every (server, URI) pair somebody subscribed to."""
        return set().union(*(listener.uris for listener in self._listeners))


def _deliver(deliver: Deliver, method: str, params: dict[str, Any]) -> None:
    try:
        deliver(method, params)
    except Exception:  # one listener's trouble must not keep the others from hearing
        log.exception("a listener could not be told of a change")
