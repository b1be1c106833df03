"""All that is durable: the store in the state folder, and what is kept in it. Shared by the gateway and the CLI."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from gateway.approvals import Approvals
from gateway.audit import Audit
from gateway.config import Config
from gateway.identity import secret_key
from gateway.ledger import Ledger
from gateway.lock import exclusive
from gateway.modes import Modes
from gateway.reviewers import Reviewers
from gateway.runs import Runs
from gateway.sealed import Vault
from gateway.store import Store

COMMAND_LINE = "cli"
"""The chain of events that the command line writes, where each replica has its own."""


def open_store(
    config: Config,
    on_commit: Callable[[int, float], None] = lambda rows, seconds: None,
    clock: Callable[[], float] = time.time,
    chain: str = COMMAND_LINE,
) -> Store:
    """The database of this configuration. `chain` is where its events go, where each replica has its own."""
    return Store(config.database, on_commit, clock, url=config.shared, chain=chain)


class State:
    """Opening makes the folder when it is not there. Raises ConfigError, OSError and SQLAlchemyError.

    The writer thread is not running yet: see `Store.start`. `on_commit` and `chain` are as in `Store`.
    """

    def __init__(
        self,
        config: Config,
        on_commit: Callable[[int, float], None] = lambda rows, seconds: None,
        clock: Callable[[], float] = time.time,
        chain: str = COMMAND_LINE,
    ) -> None:
        self._secret = secret_key(config.state_dir)
        self._on_commit = on_commit
        self.store = open_store(config, self._committed, clock, chain)
        self.audit = Audit(self.store, self.derive("audit"), clock)
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
        return hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()

    def alone(self) -> AbstractContextManager[None]:
        """Hold the state folder against other gateways, where the database is in it; the CLI may use it meanwhile.

        Raises ConfigError.
        """
        return nullcontext() if self.store.database.postgresql else exclusive(self.store.path.parent)

    def close(self) -> None:
        """End the writer thread, if it runs, and close the database."""
        self.modes.close()
        self.store.stop()
