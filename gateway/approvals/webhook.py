"""Delivery of notices to the webhook: one at a time, signed as Standard Webhooks says, tried for about a day."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.client
import logging
import random
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.approvals.book import Book
from gateway.approvals.notices import Notice, body, due, next_due, settle
from gateway.approvals.ticket import Ticket
from gateway.aside import aside
from gateway.errors import Unrecorded
from gateway.events import event_row, insert_events
from gateway.metrics import Metrics
from gateway.settings import Webhook
from gateway.store import Store
from gateway.tables import tickets

log = logging.getLogger("toolgate.approvals")

_TIMEOUT = 10.0
"""Seconds the receiver has for one answer."""
_BASE, _CAP = 5.0, 3600.0
"""Seconds before the second attempt, which double with each; at most the second."""
_ATTEMPTS = 33
"""At most: 10 within the first 1.5 hours, the others hourly, about a day in all."""
_BREATH = 0.5
"""Seconds in which nothing is tried after a failure: it is the receiver that failed, more often than the notice."""
_REST = 5.0
"""Seconds between two looks at the outbox when nobody says that there is something new."""


class Courier:
    """Delivers the outbox while `on_duty`. A slow or dead receiver keeps it waiting and nobody else."""

    def __init__(
        self,
        store: Store,
        book: Book,
        metrics: Metrics,
        on_duty: Callable[[], bool] = lambda: True,
        draw: Callable[[], float] = random.random,
        breath: float = _BREATH,
    ) -> None:
        self._on_duty = on_duty
        self._store = store
        self._book = book
        self._metrics = metrics
        self._draw = draw
        self._breath = breath
        self._new = asyncio.Event()

    def heard(self, ticket: Ticket) -> None:
        """A ticket changed: there may be something to deliver."""
        self._new.set()

    async def run(self) -> None:
        """Deliver, for ever; nothing without a webhook."""
        webhook = self._book.settings.webhook
        while webhook is not None:
            self._new.clear()
            try:
                wait = await self.deliver(webhook) if self._on_duty() else _REST
            except (SQLAlchemyError, Unrecorded) as error:
                log.warning("notices wait: the store cannot be used (%s)", type(error).__name__)
                wait = _REST
            except Exception:  # whatever it is: were this task to end, nobody would be told any more
                log.exception("notices could not be delivered")
                wait = _REST
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._new.wait()

    async def deliver(self, webhook: Webhook) -> float:
        """Try what is due, up to the first that fails; the seconds until there may be something to do again."""
        now = self._book.clock()
        found, later = await aside(partial(self._due, now))
        for notice in found:
            if not self._on_duty():
                return _REST
            if not await self._try(webhook, notice):
                await asyncio.sleep(self._breath)
                return 0.0
        if found:  # what waited behind them is next
            return 0.0
        return _REST if later is None else min(_REST, later - now)

    def _due(self, now: float) -> tuple[list[Notice], float | None]:
        with self._store.engine.connect() as connection:
            return due(connection, now), next_due(connection, now)

    async def _try(self, webhook: Webhook, notice: Notice) -> bool:
        """One attempt, and what came of it in the outbox; True when the notice is out of the way."""
        problem = await self._send(webhook, notice)
        if problem is None:
            self._metrics.notices.labels("delivered").inc()
            await self._store.transact(partial(settle, notice=notice, due=None))
            return True
        if notice.attempts + 1 >= _ATTEMPTS:
            self._metrics.notices.labels("given_up").inc()
            log.error("notice %s of ticket %s is given up: %s", notice.id, notice.ticket, problem)
            await self._store.transact(partial(self._give_up, notice=notice, problem=problem))
            return True
        self._metrics.notices.labels("failed").inc()
        if notice.attempts == 0:
            log.warning("notice %s of ticket %s is tried again later: %s", notice.id, notice.ticket, problem)
        again = self._book.clock() + self._pause(notice.attempts)
        await self._store.transact(partial(settle, notice=notice, due=again))
        return False

    def _pause(self, attempts: int) -> float:
        """Half of it is drawn, so that what failed together does not come back together."""
        full: float = min(_CAP, _BASE * 2**attempts)
        return full * (0.5 + self._draw() / 2)

    def _give_up(self, connection: Connection, notice: Notice, problem: str) -> None:
        data = {"notice": notice.id, "ticket": notice.ticket, "kind": notice.kind, "problem": problem}
        insert_events(connection, [event_row(self._book.clock(), "notice", {"deed": "given_up", **data})])
        settle(connection, notice, None)

    async def _send(self, webhook: Webhook, notice: Notice) -> str | None:
        """What went wrong, in words without anything of the request, or None."""
        rows = await aside(partial(self._store.read, select(tickets).where(tickets.c.id == notice.ticket)))
        if not rows:
            return "its ticket is gone"
        content = body(notice, self._book.read(rows[0]), self._book.settings.console)
        headers = signed(webhook.secret.get_secret_value(), notice.id, int(self._book.clock()), content)
        post = Post(webhook.url)
        try:
            async with asyncio.timeout(_TIMEOUT):
                status = await aside(partial(post.send, headers, content))
        except TimeoutError:
            return f"no answer within {_TIMEOUT:g} seconds"
        except (OSError, http.client.HTTPException) as error:
            return f"the receiver cannot be reached ({type(error).__name__})"
        finally:
            post.abort()
        return None if 200 <= status < 300 else f"the receiver answered with status {status}"


class Post:
    """One POST on a connection of its own. Redirects are not followed, and no proxy is used."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        assert parts.hostname is not None  # checked with the configuration
        self._connection = (
            http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=_TIMEOUT, context=ssl.create_default_context()
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT)
        )

    def send(self, headers: Mapping[str, str], content: bytes) -> int:
        """The status of the answer; its body is not read. Blocks. Raises OSError and HTTPException."""
        try:
            self._connection.request("POST", self._path, content, dict(headers))
            return self._connection.getresponse().status
        finally:
            self._connection.close()

    def abort(self) -> None:
        """End it, if it is still under way in another thread: a receiver that trickles must not hold that."""
        if (open_socket := self._connection.sock) is not None:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)


def signed(secret: str, identity: str, at: int, content: bytes) -> dict[str, str]:
    """The headers of a Standard Webhooks message. `secret` is `whsec_` and Base64; `at` is in seconds."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{at}.".encode() + content, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "toolgate",
        "webhook-id": identity,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
