"""The calls of this process that wait for tickets, and all who want to hear of changes, wherever they were made."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.approvals.book import Book
from gateway.approvals.ticket import Ticket
from gateway.aside import aside
from gateway.changes import Changes
from gateway.store import Store
from gateway.tables import tickets

log = logging.getLogger("toolgate.approvals")

_SOON = 0.1
"""Seconds between two looks while a call waits."""
_AT_REST = 0.5
_PATIENCE = 1.5
"""Seconds for a look at a ticket; a database that hangs does not keep those who wait from hearing that time is up."""

Heard = Callable[[Ticket], None]


class Waiting:
    """One poller for all that wait, on the gateway's loop. Changes of this process wake it at once."""

    def __init__(self, store: Store, book: Book) -> None:
        self._store = store
        self._book = book
        self._waiters: dict[str, list[asyncio.Future[Ticket]]] = {}
        self._watchers: list[Heard] = []
        self._seen: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._one_by_one = asyncio.Semaphore(1)
        """A thousand that come at once would take a thousand threads."""

    async def wait(self, ticket: str, seconds: float) -> Ticket | None:
        """The ticket once it is not pending, at most `seconds` from now; else None."""
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(ticket, [])
        waiters.append(future)
        try:
            # Looked at after it waits: a decision between the two is not missed.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE), self._one_by_one:
                    now = await aside(partial(self.get, ticket))
                if now is None or now.state != "pending":
                    return now
            self._wake.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await future
            return None
        finally:
            waiters.remove(future)
            if not waiters and self._waiters.get(ticket) is waiters:
                del self._waiters[ticket]

    def get(self, ticket: str) -> Ticket | None:
        rows = self._store.read(select(tickets).where(tickets.c.id == ticket))
        return self._book.read(rows[0]) if rows else None

    def watch(self, heard: Heard) -> Callable[[], None]:
        """Have `heard` told of each ticket that changes; call what is returned to end that."""
        self._watchers.append(heard)
        return lambda: self._watchers.remove(heard)

    def wake(self) -> None:
        """Look at once; from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake.set)

    async def follow(self) -> None:
        """Tell of changes, for ever; of those since it first looked."""
        changes = Changes(self._store, "tickets")
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    await self._look(changes)
                except SQLAlchemyError as error:
                    log.error("tickets cannot be read (%s): those who wait go on waiting", type(error).__name__)
                    await asyncio.sleep(_AT_REST)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SOON if self._waiters else _AT_REST):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            self._loop = None
            changes.close()

    async def _look(self, changes: Changes) -> None:
        """Beside the event loop: the database may not answer."""
        if self._seen is None:
            rows = await aside(partial(self._store.read, select(func.max(tickets.c.revision))))
            self._seen = rows[0][0] or 0
            for ticket in tuple(self._waiters):  # a decision just before that is not among what comes now
                if (now := await aside(partial(self.get, ticket))) is not None:
                    self._answer(now)
        news = select(tickets).where(tickets.c.revision > self._seen).order_by(tickets.c.revision)
        for row in await aside(partial(changes.news, news)) or ():
            self._seen = row.revision
            self._tell(self._book.read(row))

    def _answer(self, ticket: Ticket) -> None:
        """Let those go on who wait for a ticket that is not pending any more."""
        if ticket.state != "pending":
            for future in self._waiters.get(ticket.id, ()):
                if not future.done():
                    future.set_result(ticket)

    def _tell(self, ticket: Ticket) -> None:
        self._answer(ticket)
        for heard in tuple(self._watchers):
            try:
                heard(ticket)
            except Exception:  # whatever it is: others want to hear too
                log.exception("a change of ticket %s could not be told", ticket.id)
