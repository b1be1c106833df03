"""Changes of tickets as server-sent events, to reviewers who listen; what they are told ends with their token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from starlette.responses import StreamingResponse

from gateway.admin.entrance import Stopped
from gateway.approvals import Approvals, Ticket
from gateway.aside import aside
from gateway.reviewers import Reviewer, Reviewers

log = logging.getLogger("toolgate.admin")

_LOOK = 0.5
"""Seconds between two looks at whether those who listen still may."""
_BEAT = 15.0
"""Seconds of silence after which a comment keeps the connection alive."""
_MOST = 64
_BEHIND = 256
"""Changes that may wait for one listener; whoever is further behind has to connect, and look, again."""

Tell = Callable[[Ticket], dict[str, Any]]


@dataclass(slots=True, eq=False)
class Listener:
    reviewer: Reviewer
    tell: Tell
    queue: asyncio.Queue[Ticket | None] = field(default_factory=asyncio.Queue)

    def hear(self, ticket: Ticket) -> None:
        if self.queue.qsize() < _BEHIND:
            self.queue.put_nowait(ticket)
        else:
            self.end()

    def end(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)

    async def next(self) -> bytes | None:
        """The next thing to send; None when this is the end."""
        try:
            ticket = await asyncio.wait_for(self.queue.get(), _BEAT)
        except TimeoutError:
            return b": beat\n\n"
        if ticket is None:
            return None
        return b"event: ticket\nid: %d\ndata: %s\n\n" % (ticket.revision, orjson.dumps(self.tell(ticket)))


class Streams:
    """Who listens now."""

    def __init__(self, approvals: Approvals, reviewers: Reviewers) -> None:
        self._approvals = approvals
        self._reviewers = reviewers
        self._listeners: set[Listener] = set()

    def open(self, reviewer: Reviewer, tell: Tell) -> StreamingResponse:
        """A stream of `ticket` events, each with what `tell` makes of the ticket. Raises Stopped."""
        if len(self._listeners) >= _MOST:
            raise Stopped(503, "busy", "Too many are listening already. Try again later.", retry_after="5")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._follow(reviewer, tell), media_type="text/event-stream", headers=headers)

    async def run(self) -> None:
        """End the streams of those whose token is void, for ever."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                for reviewer in {listener.reviewer for listener in self._listeners}:
                    if not await aside(partial(self._reviewers.valid, reviewer)):
                        self._end(listener for listener in self._listeners if listener.reviewer == reviewer)
            except Exception:  # whatever it is: were this task to end, void tokens would go on listening
                log.exception("reviewers' tokens could not be looked at")

    def close(self) -> None:
        self._end(self._listeners)

    def _end(self, listeners: Iterable[Listener]) -> None:
        for listener in list(listeners):
            listener.end()

    async def _follow(self, reviewer: Reviewer, tell: Tell) -> AsyncIterator[bytes]:
        listener = Listener(reviewer, tell)
        self._listeners.add(listener)
        stop = self._approvals.watch(listener.hear)
        try:
            yield b"retry: 1000\nevent: ready\ndata: {}\n\n"
            while (part := await listener.next()) is not None:
                yield part
            yield b"event: end\ndata: {}\n\n"
        finally:
            stop()
            self._listeners.discard(listener)
