"""Reviewers who are signed in at the console. A session is as good as the token it was opened with, and no longer."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Executable, delete, insert, select

from gateway.events import event_row, insert_events
from gateway.reviewers import Reviewer, Reviewers
from gateway.store import Store
from gateway.tables import sessions

LIFETIME = 12 * 3600
"""Seconds after which one has to sign in again."""
COOKIE = "toolgate-console"


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in; `form` is what each form of this session must hold, so that no other site can send one."""

    reviewer: Reviewer
    form: str


class Sessions:
    """Kept in the store by their digest. Methods block: use them beside the loop."""

    def __init__(self, store: Store, reviewers: Reviewers, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._reviewers = reviewers
        self._clock = clock

    def open(self, token: str) -> str:
        """The value of the cookie of a new session. Raises Unauthenticated."""
        reviewer = self._reviewers.verify(token)
        value, now = secrets.token_urlsafe(32), self._clock()
        row = {"digest": _digest(value), "token": reviewer.token, "name": reviewer.name, "expires": now + LIFETIME}
        over, new = delete(sessions).where(sessions.c.expires <= now), insert(sessions).values(**row)
        self._store.run(lambda connection: self._write(connection, reviewer, "in", over, new))
        return value

    def find(self, value: str) -> Session | None:
        """The session with this cookie, when it is still good."""
        if not value:
            return None
        wanted = (sessions.c.digest == _digest(value)) & (sessions.c.expires > self._clock())
        for row in self._store.read(select(sessions.c.name, sessions.c.token).where(wanted)):
            reviewer = Reviewer(row.name, row.token)
            if self._reviewers.valid(reviewer):
                return Session(reviewer, _form(value))
        return None

    def close(self, value: str) -> None:
        if (session := self.find(value)) is None:
            return
        gone = delete(sessions).where(sessions.c.digest == _digest(value))
        self._store.run(lambda connection: self._write(connection, session.reviewer, "out", gone))

    def _write(self, connection: Connection, reviewer: Reviewer, what: str, *statements: Executable) -> None:
        for statement in statements:
            connection.execute(statement)
        told = {"what": what, "name": reviewer.name, "token": reviewer.token}
        insert_events(connection, [event_row(self._clock(), "login", told)])


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _form(value: str) -> str:
    return hmac.new(value.encode("utf-8", "surrogatepass"), b"form", hashlib.sha256).hexdigest()
