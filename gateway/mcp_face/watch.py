"""Keeps what upstreams are asked to tell of in step with what clients subscribed to."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.errors import UpstreamFailed
from gateway.mcp_face.audience import Audience

log = logging.getLogger("toolgate.audience")

_PATIENCE = 5.0
"""Seconds a client waits for upstreams to take note of its subscription; they may take longer without it."""


class Source(Protocol):
    """An upstream, as far as subscriptions go. Both raise UpstreamFailed."""

    async def subscribe(self, uri: str) -> None: ...

    async def unsubscribe(self, uri: str) -> None: ...


@dataclass(slots=True)
class Watch:
    """Call it after the audience's subscriptions changed. Upstreams are brought up to date side by side."""

    audience: Audience
    sources: Mapping[str, Source]
    _held: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __call__(self) -> None:
        servers = {server for server, _ in self.audience.subscribed()} | self._held.keys()
        tasks = [asyncio.create_task(self._bring(server)) for server in servers & self.sources.keys()]
        self._tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(self._tasks.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE)

    async def _bring(self, server: str) -> None:
        async with self._locks[server]:
            held, source = self._held[server], self.sources[server]
            wanted = {uri for owner, uri in self.audience.subscribed() if owner == server}
            for uri in held ^ wanted:
                change, keep = (source.subscribe, held.add) if uri in wanted else (source.unsubscribe, held.discard)
                try:
                    await change(uri)
                except UpstreamFailed as failed:  # it will not, or cannot now and is told when it is back
                    log.info("%s does not take a change of subscriptions: %s", server, failed.reason)
                keep(uri)
