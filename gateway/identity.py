"""Who calls: bearer tokens `tg_...` of the form in `gateway.bearer`, known by their HMAC only."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Executable, Row, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway import bearer
from gateway.aside import aside
from gateway.call import Principal
from gateway.changes import Changes, bump
from gateway.errors import Unauthenticated
from gateway.events import event_row, insert_events
from gateway.store import Store
from gateway.tables import tokens

log = logging.getLogger("toolgate.identity")

_PATIENCE = 1.5
"""Seconds for looking up a token that is not known."""

Claims = Mapping[str, str | float | bool]
_NO_CLAIMS: Claims = {}


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it may be shown. Times are seconds since the epoch; `claims` are what the operator wrote into it."""

    id: str
    agent: str
    created: float
    expires: float | None
    revoked: float | None
    claims: Claims = field(default_factory=dict)

    def state(self, now: float) -> str:
        """`active`, `expired` or `revoked`."""
        return bearer.state(self.expires, self.revoked, now)


@dataclass(frozen=True, slots=True)
class _Known:
    """What `verify` needs of a token that is not revoked; `digest` is hex."""

    digest: bytes
    expires: float
    principal: Principal


_NOBODY = _Known(b"0" * 64, 0.0, Principal("", ""))
_NEVER = float("inf")
_SHOWN = ("id", "agent", "created", "expires", "revoked", "claims")
_VALID = select(tokens.c.id, tokens.c.agent, tokens.c.digest, tokens.c.expires, tokens.c.claims).where(
    tokens.c.revoked.is_(None)
)


class Tokens:
    """The tokens in `store`, kept in memory. Raises ConfigError when the `secret` of the store cannot be read.

    `agents` are those with a policy: tokens of any other are refused. It is empty until it is set.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.agents: Container[str] = frozenset()
        self._store = store
        self._clock = clock
        self._digest = bearer.Digests(store.secret)
        self._changes = Changes(store, "tokens")
        self._known: dict[str, _Known] = {}
        self.refresh_if_changed()

    def close(self) -> None:
        self._changes.close()

    def create(
        self, agent: str, *, expires: timedelta | None, now: float, claims: Claims = _NO_CLAIMS
    ) -> tuple[str, TokenRow]:
        """Make a token for `agent`; it can be read here only, for what is stored is its HMAC."""
        identity, token = bearer.mint("tg")
        ends = None if expires is None else now + expires.total_seconds()
        row = TokenRow(id=identity, agent=agent, created=now, expires=ends, revoked=None, claims=claims)
        digest = self._digest(token).decode()
        stored = {"id": identity, "agent": agent, "digest": digest, "created": now, "expires": ends}
        new = insert(tokens).values(**stored, claims=json.dumps(dict(claims)) if claims else None)
        self._store.run(lambda connection: self._write(connection, new, row, "created"))
        self.refresh_if_changed()
        return token, row

    def list_all(self) -> list[TokenRow]:
        """Every token ever created, oldest first."""
        columns = [tokens.c[name] for name in _SHOWN]
        rows = self._store.read(select(*columns).order_by(tokens.c.created, tokens.c.id))
        return [_shown(row) for row in rows]

    def revoke(self, identity: str) -> bool:
        """Make the token with this id void, for good; False when there is none that is not void already."""
        there = (tokens.c.id == identity) & tokens.c.revoked.is_(None)
        columns = [tokens.c[name] for name in _SHOWN]

        def work(connection: Connection) -> bool:
            found = connection.execute(select(*columns).where(there)).one_or_none()
            if found is None:
                return False
            void = update(tokens).where(there).values(revoked=self._clock())
            self._write(connection, void, _shown(found), "revoked")
            return True

        revoked = self._store.run(work)
        self.refresh_if_changed()
        return revoked

    async def identify(self, token: str, now: float) -> Principal:
        """As `verify`, for the event loop: a token that is not known yet is looked up beside it."""
        if self._news(token):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await aside(partial(self._look_up, bearer.identity_of(token)))
        return self._judge(token, now)

    def verify(self, token: str, now: float) -> Principal:
        """The principal this token stands for. Raises Unauthenticated, with one text whatever is wrong."""
        if self._news(token):
            self._look_up(bearer.identity_of(token))
        return self._judge(token, now)

    def _news(self, token: str) -> bool:
        """Whether it may be a token that another process made. One that is mistyped is told by its checksum, before
        the store is asked.
        """
        return bearer.fits(token) and bearer.identity_of(token) not in self._known and bearer.intact(token)

    def _judge(self, token: str, now: float) -> Principal:
        known = self._known.get(bearer.identity_of(token), _NOBODY) if bearer.fits(token) else _NOBODY
        if not hmac.compare_digest(self._digest(token), known.digest) or known.expires <= now:
            raise _unauthenticated()
        if known.principal.agent not in self.agents:
            raise _unauthenticated()
        return known.principal

    def valid(self, principal: Principal) -> bool:
        """Whether the token this principal came with still stands for it."""
        known = self._known.get(principal.token)
        return known is not None and known.expires > self._clock() and principal.agent in self.agents

    def refresh_if_changed(self) -> bool:
        """Read the tokens again if the store changed since the last look; True if it did.

        What was known stays in force while the store cannot be read.
        """
        try:
            rows = self._changes.news(_VALID)
        except SQLAlchemyError as error:
            log.error("tokens cannot be read (%s): changes wait until they can", type(error).__name__)
            return False
        if rows is None:
            return False
        self._known = {row.id: _known(row) for row in rows}
        return True

    def _write(self, connection: Connection, statement: Executable, row: TokenRow, what: str) -> None:
        connection.execute(statement)
        bump(connection, "tokens")
        told = {"what": what, "id": row.id, "expires": row.expires, "claims": dict(row.claims)}
        insert_events(connection, [event_row(self._clock(), "token", told, agent=row.agent)])

    def _look_up(self, identity: str) -> None:
        """A token this process has not heard of yet: another one may have made it just now."""
        try:
            rows = self._store.read(_VALID.where(tokens.c.id == identity))
        except SQLAlchemyError as error:
            log.error("a token cannot be looked up (%s)", type(error).__name__)
            return
        for row in rows:
            self._known[row.id] = _known(row)


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated(
        "This token is not valid: it is mistyped, unknown, expired or revoked. "
        "Ask whoever runs the gateway for a new one."
    )


def _shown(row: Row[*tuple[Any, ...]]) -> TokenRow:
    return TokenRow(**{**row._mapping, "claims": _claims(row.claims)})


def _known(row: Row[*tuple[Any, ...]]) -> _Known:
    expires = _NEVER if row.expires is None else row.expires
    return _Known(row.digest.encode(), expires, Principal(row.agent, row.id, _claims(row.claims)))


def _claims(stored: str | None) -> Claims:
    claims: dict[str, str | float | bool] = {} if stored is None else json.loads(stored)
    return claims
