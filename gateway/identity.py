"""Who calls: bearer tokens `tg_...` of the form in `gateway.bearer`, known by their HMAC only."""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Executable, Row, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway import bearer
from gateway.call import Principal
from gateway.changes import Changes, bump
from gateway.errors import ConfigError, Problem, Unauthenticated
from gateway.events import event_row, insert_events
from gateway.store import Store
from gateway.tables import tokens

log = logging.getLogger("toolgate.identity")

_KEY_FILE = "secret.key"

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
    """The tokens in `store`, kept in memory. Needs its `secret.key` beside the store: see `secret_key`.

    `agents` are those with a policy: tokens of any other are refused. It is empty until it is set.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.agents: Container[str] = frozenset()
        self._store = store
        self._clock = clock
        self._digest = bearer.Digests(secret_key(store.path.parent))
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

    def verify(self, token: str, now: float) -> Principal:
        """The principal this token stands for. Raises Unauthenticated, with one text whatever is wrong."""
        if not bearer.fits(token):
            raise _unauthenticated()
        identity = bearer.identity_of(token)
        known = self._known.get(identity)
        if known is None:
            # A mistyped token is refused by its checksum, before the store is asked.
            if not bearer.intact(token):
                raise _unauthenticated()
            known = self._look_up(identity)
        digest = self._digest(token)
        if not hmac.compare_digest(digest, known.digest) or known.expires <= now:
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
            if not self._changes.pending():
                return False
            rows = self._changes.connection.execute(_VALID).all()
        except SQLAlchemyError as error:
            log.error("tokens cannot be read (%s): changes wait until they can", type(error).__name__)
            return False
        self._changes.taken()
        self._known = {row.id: _known(row) for row in rows}
        return True

    def _write(self, connection: Connection, statement: Executable, row: TokenRow, what: str) -> None:
        connection.execute(statement)
        bump(connection, "tokens")
        told = {"what": what, "id": row.id, "expires": row.expires, "claims": dict(row.claims)}
        insert_events(connection, [event_row(self._clock(), "token", told, agent=row.agent)])

    def _look_up(self, identity: str) -> _Known:
        """A token this process has not heard of yet: another one may have made it just now."""
        try:
            row = self._changes.connection.execute(_VALID.where(tokens.c.id == identity)).one_or_none()
        except SQLAlchemyError as error:
            log.error("a token cannot be looked up (%s)", type(error).__name__)
            return _NOBODY
        if row is None:
            return _NOBODY
        self._known[identity] = _known(row)
        return self._known[identity]


def secret_key(folder: Path) -> bytes:
    """The 32 bytes in `secret.key` of the state folder, both made on first use, for their owner only.

    Raises ConfigError when others may read the file or it holds something else.
    """
    path = folder / _KEY_FILE
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create_key(path)
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        content = file.read(128).strip()
    if mode & ~0o600:
        raise _key_problem(path, f"its permissions are {mode:04o}: others may use it", f"chmod 600 {path}")
    try:
        key = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise _key_problem(path, "it is not 64 hexadecimal digits", "restore it from a backup")
    return key


def _create_key(path: Path) -> None:
    """Write a new key aside and link it into place: nobody sees half a file, and of two writers one wins."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(aside)
    except FileExistsError:
        log.debug("another process made %s first", path)
    finally:
        aside.unlink()


def _key_problem(path: Path, message: str, fix: str) -> ConfigError:
    return ConfigError([Problem(str(path), "file", message, fix)])


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
