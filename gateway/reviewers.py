"""People who decide: names and tokens, `tr_<id>_<secret>_<checksum>`, known by their HMAC only, as agents' are."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Executable, insert, select, update

from gateway import bearer
from gateway.changes import bump
from gateway.errors import Unauthenticated
from gateway.events import event_row, insert_events
from gateway.store import Store
from gateway.tables import reviewers

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SHOWN = ("id", "name", "created", "expires", "revoked")


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who decides: a name, and the id of the token that proves it."""

    name: str
    token: str


@dataclass(frozen=True, slots=True)
class ReviewerRow:
    """A reviewer's token as it may be shown. Times are seconds since the epoch."""

    id: str
    name: str
    created: float
    expires: float | None
    revoked: float | None

    def state(self, now: float) -> bearer.State:
        return bearer.state(self.expires, self.revoked, now)


class Reviewers:
    """The reviewers' tokens in `store`. Read at each use: this is rare.

    `agents` are those with a policy, and no reviewer can be called like one of them: whoever wants to create or verify
    tokens sets it.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.agents: Container[str] = frozenset()
        self.store = store
        self._clock = clock
        self._digest = bearer.Digests(store.secret)

    def create(self, name: str, *, expires: timedelta | None) -> tuple[str, ReviewerRow]:
        """Make a token for `name`; it can be read here only. Raises ValueError, with why, for what is no name."""
        if _NAME.fullmatch(name) is None:
            raise ValueError("a reviewer's name is a lower-case letter, then at most 31 of a-z, 0-9 and -")
        if name in self.agents:
            raise ValueError("an agent of this name has a policy, and no agent can be a reviewer")
        identity, token = bearer.mint("tr")
        now = self._clock()
        row = ReviewerRow(identity, name, now, None if expires is None else now + expires.total_seconds(), None)
        stored = {column: getattr(row, column) for column in _SHOWN}
        statement = insert(reviewers).values(**stored, digest=self._digest(token).decode())
        self.store.run(lambda connection: self._write(connection, statement, row, "created"))
        return token, row

    def list_all(self) -> list[ReviewerRow]:
        """Every token ever created, oldest first."""
        columns = [reviewers.c[name] for name in _SHOWN]
        rows = self.store.read(select(*columns).order_by(reviewers.c.created, reviewers.c.id))
        return [ReviewerRow(**row._mapping) for row in rows]

    def revoke(self, identity: str) -> bool:
        """Make the token with this id void, for good; False when there is none that is not void already."""
        there = (reviewers.c.id == identity) & reviewers.c.revoked.is_(None)

        def work(connection: Connection) -> bool:
            found = connection.execute(select(*(reviewers.c[name] for name in _SHOWN)).where(there)).one_or_none()
            if found is None:
                return False
            statement = update(reviewers).where(there).values(revoked=self._clock())
            self._write(connection, statement, ReviewerRow(**found._mapping), "revoked")
            return True

        return self.store.run(work)

    def verify(self, token: str) -> Reviewer:
        """Who it stands for. Raises Unauthenticated, with one text whatever is wrong."""
        if bearer.fits(token) and token.startswith("tr_") and bearer.intact(token):
            found = self._in_force(bearer.identity_of(token))
            if found is not None and hmac.compare_digest(self._digest(token), found[1].encode()):
                return found[0]
        raise Unauthenticated(
            "This reviewer's token is not valid: it is mistyped, unknown, expired, revoked, or named like an agent. "
            "Ask whoever runs the gateway for a new one."
        )

    def valid(self, reviewer: Reviewer) -> bool:
        """Whether the token by which this reviewer was known still stands for it."""
        found = self._in_force(reviewer.token)
        return found is not None and found[0] == reviewer

    def _in_force(self, identity: str) -> tuple[Reviewer, str] | None:
        """The reviewer behind a token that is not void, and the token's digest."""
        statement = select(reviewers.c.name, reviewers.c.digest, reviewers.c.expires)
        rows = self.store.read(statement.where(reviewers.c.id == identity, reviewers.c.revoked.is_(None)))
        for row in rows:
            if row.name not in self.agents and bearer.state(row.expires, None, self._clock()) == "active":
                return Reviewer(row.name, identity), row.digest
        return None

    def _write(self, connection: Connection, statement: Executable, row: ReviewerRow, what: str) -> None:
        connection.execute(statement)
        bump(connection, "reviewers")
        told = {"what": what, "id": row.id, "name": row.name, "expires": row.expires}
        insert_events(connection, [event_row(self._clock(), "reviewer", told)])
