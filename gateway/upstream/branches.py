"""The links of one upstream beside its own: one per credential, opened when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.call import Credential
from gateway.upstream.link import Link


class Branches:
    """All who need a link that is not open yet wait for the same opening; one that failed is tried anew."""

    def __init__(self, open_link: Callable[[Credential], Awaitable[Link]]) -> None:
        self._open_link = open_link
        self._tasks: dict[str, asyncio.Task[Link]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def link(self, credential: Credential) -> Link:
        """The link of this credential. Raises UpstreamFailed."""
        opening = self._tasks.get(credential.id)
        if opening is not None and opening.done() and not opening.result().alive:
            self._end(opening.result())
            opening = None
        if opening is None:
            opening = asyncio.ensure_future(self._open(credential))
            self._tasks[credential.id] = opening
            opening.add_done_callback(lambda done: self._opened(credential.id, done))
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def _open(self, credential: Credential) -> Link:
        return await self._open_link(credential)

    def _opened(self, id: str, opening: asyncio.Task[Link]) -> None:
        failed = opening.cancelled() or opening.exception() is not None
        if failed and self._tasks.get(id) is opening:
            del self._tasks[id]

    def _end(self, link: Link) -> None:
        task = asyncio.ensure_future(link.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Close every link, also those that are just being opened."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        for opened in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(opened, BaseException):
                self._end(opened)
        await asyncio.gather(*self._ending, return_exceptions=True)
