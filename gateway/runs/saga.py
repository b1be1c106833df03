"""Runs in the store: open, finished, failed, being undone, undone; and the steps that can be undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from sqlalchemy import Connection

from gateway.audit import Audit
from gateway.call import Call, Result
from gateway.sealed import Vault
from gateway.store import Store

RunState = Literal["active", "finished", "rolling_back", "rolled_back"]


class Runs:
    """Methods that take a connection are work for `Store.transact` or `Store.run`."""

    def __init__(self, store: Store, audit: Audit, vault: Vault, clock: Callable[[], float] = time.time) -> None:
        self.store = store

    def enter(self, connection: Connection, call: Call) -> None:
        """A call of a run is about to be sent: open the run or renew its lease, and count the call.

        Raises RunClosed when it is over, RunExhausted when `call.permit.ceilings` are reached.
        """

    def leave(self, connection: Connection, call: Call, result: Result) -> None:
        """A call of a run succeeded: register what undoes it, where its tool declares that."""

    def spare(self, connection: Connection, call: Call) -> None:
        """A call that had entered was not made after all: it does not count."""

    def mark(
        self, connection: Connection, agent: str, run: str, state: str, *, lease: float | None = None, why: str = ""
    ) -> bool:
        """`active` (renew the lease; 0: none), `finished` (closed, nothing is kept), `failed` (to be undone).

        False when the run is over already. `why` says who: agent, operator, lease.
        """
        raise NotImplementedError
