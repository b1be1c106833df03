"""What happens to the store when a call is sent and when it ended: each is one transaction, whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from gateway.approvals import Approvals
from gateway.audit import Audit, Outcome
from gateway.call import Call, Result
from gateway.runs import Runs
from gateway.sealed import Vault
from gateway.store import Store


@dataclass(frozen=True, slots=True)
class Unknown:
    """A call of which nobody knows whether it ran. `shown` are its arguments as people may see them, JSON."""

    call: str
    agent: str
    server: str
    tool: str
    run: str | None
    key: str | None
    at: float
    shown: str
    held: tuple[tuple[str, int], ...]
    """(account, amount) of limits and budgets that it keeps."""


class Ledger:
    """Idempotency keys, reservations, tickets and runs of calls, moved together with intent and outcome events."""

    def __init__(
        self,
        store: Store,
        audit: Audit,
        vault: Vault,
        approvals: Approvals,
        runs: Runs,
        owner: str,
        keep: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store

    async def begin(self, call: Call) -> Result | None:
        """Durable before the call is sent: its claim on its key, its ticket used up, what it takes of limits and
        budgets, its run, and its intent event.

        The stored result when it was made under this key before. Raises KeyConflict, OutcomeUnknown, InFlight,
        LimitExceeded, BudgetExceeded, RunExhausted, RunClosed, TicketVoid and its kinds, Unrecorded.
        """
        raise NotImplementedError

    async def end(
        self, call: Call, outcome: Outcome, *, seconds: float, result: Result | None, reason: str | None
    ) -> None:
        """Durable before the reply: the outcome event, and what follows from it.

        ok, tool_error: the reply is kept, the compensation registered (ok only), what was reserved committed (budgets
        of a tool_error released). failed, input_required: as if it had not been made. unknown: everything is kept, and
        a person has to settle it unless the tool is idempotent.
        """
        raise NotImplementedError

    def recover(self) -> list[str]:
        """Before anything is served: calls that a process that is gone left open become unknown; their ids."""
        raise NotImplementedError

    def unknown(self) -> list[Unknown]:
        """Calls to be settled, oldest first."""
        raise NotImplementedError

    def settle(
        self, connection: Connection, call: str, reviewer: str, verdict: Literal["happened", "did_not"], words: str
    ) -> bool:
        """A reviewer found out. happened: reservations are committed and the key is answered with that; did_not: both
        are free again. False when there is no such call to settle.
        """
        raise NotImplementedError
