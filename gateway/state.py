"""All that is durable: the store in the state folder, and what is kept in it. Shared by the gateway and the CLI."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from sqlalchemy import Connection, insert, select

from gateway.approvals import Approvals
from gateway.audit import Audit, Shown, nothing
from gateway.config import Config
from gateway.errors import ConfigError, Problem
from gateway.ledger import Ledger
from gateway.modes import Modes
from gateway.reviewers import Reviewers
from gateway.runs import Runs
from gateway.sealed import Vault
from gateway.store import Store
from gateway.tables import about

COMMAND_LINE = "cli"
"""The chain of events that the command line writes, where each replica has its own."""


def open_store(
    config: Config,
    on_commit: Callable[[int, float], None] = lambda rows, seconds: None,
    clock: Callable[[], float] = time.time,
    chain: str = COMMAND_LINE,
) -> Store:
    """The database of this configuration. `chain` is where its events go, where each replica has its own.

    Raises ConfigError, OSError and SQLAlchemyError.
    """
    store = Store(config.database, on_commit, clock, url=config.shared, chain=chain, secret=config.secret_file)
    try:
        if store.database.postgresql:
            _check_secret(store, config)
    except BaseException:
        store.stop()
        raise
    return store


def _check_secret(store: Store, config: Config) -> None:
    """Of gateways with different keys each would take what the others keep for damaged."""
    own = hmac.new(store.secret, b"check", hashlib.sha256).hexdigest()
    wanted = select(about.c.value).where(about.c.name == "secret")

    def first(connection: Connection) -> str:
        found: str | None = connection.execute(wanted).scalar_one_or_none()
        if found is None:
            connection.execute(insert(about).values(name="secret", value=own))
        return found or own

    rows = store.read(wanted)
    if own != (rows[0].value if rows else store.run(first)):
        message = "is not the key with which this database was first used"
        fix = "give all gateways of one database the same file"
        raise ConfigError([Problem(config.path.name, "gateway.secret", message, fix)])


class State:
    """Opening makes the folder when it is not there. Raises ConfigError, OSError and SQLAlchemyError.

    The writer thread is not running yet: see `Store.start`. `on_commit` and `chain` are as in `Store`, `shown` as in
    `Audit`.
    """

    def __init__(
        self,
        config: Config,
        on_commit: Callable[[int, float], None] = lambda rows, seconds: None,
        clock: Callable[[], float] = time.time,
        chain: str = COMMAND_LINE,
        shown: Shown = nothing,
    ) -> None:
        self._on_commit = on_commit
        self.store = open_store(config, self._committed, clock, chain)
        self.audit = Audit(self.store, self.derive("audit"), clock, shown)
        self.vault = Vault(self.derive("vault"))
        self.approvals = Approvals(self.store, self.vault, config.approvals, clock)
        self.runs = Runs(self.store, self.vault, clock)
        self.owner = owner = secrets.token_hex(8)
        self.ledger = Ledger(
            self.store, self.audit, self.vault, self.approvals, self.runs, owner, config.runs.keep, clock
        )
        self.reviewers = Reviewers(self.store, clock)
        self.modes = Modes(self.store, clock)

    def _committed(self, rows: int, seconds: float) -> None:
        self._on_commit(rows, seconds)
        self.approvals.committed()

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose, from `secret.key`."""
        return hmac.new(self.store.secret, purpose.encode(), hashlib.sha256).digest()

    def close(self) -> None:
        """End the writer thread, if it runs, and close the database."""
        self.modes.close()
        self.store.stop()
