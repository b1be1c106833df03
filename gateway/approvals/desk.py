"""The tickets in the store, and the calls of this process that wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.approvals.ticket import Ticket, Verdict
from gateway.audit import Audit
from gateway.call import Call
from gateway.config import ApprovalSettings
from gateway.sealed import Vault
from gateway.store import Store
from gateway.terms import Gate


class Approvals:
    """Methods that take a connection are work for `Store.transact` or `Store.run`: they write their event with it.

    The others belong to the gateway's process, on its loop. CLI, HTTP API and console share `decide`.
    """

    def __init__(
        self,
        store: Store,
        audit: Audit,
        vault: Vault,
        settings: ApprovalSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store

    # -- work within a transaction

    def open(self, connection: Connection, call: Call, gate: Gate) -> Ticket:
        """The ticket of this call, one that stands for the same call already, or a new one.

        Raises KeyConflict when its key stands for another call.
        """
        raise NotImplementedError

    def ask(self, connection: Connection, call: Call, reason: str) -> Ticket:
        """A new ticket of kind `request`: an agent says that something is beyond it."""
        raise NotImplementedError

    def give_up(
        self, connection: Connection, *, agent: str, run: str, server: str, tool: str, call: str, why: str, shown: Any
    ) -> Ticket:
        """A new ticket of kind `undo`: call `call` of a run cannot be undone by `tool`, and `why`. Never expires soon.

        Approved: it is tried again. Rejected: it stays as it is, settled by hand.
        """
        raise NotImplementedError

    def decide(
        self,
        connection: Connection,
        ticket: str,
        reviewer: str,
        verdict: Verdict,
        words: str = "",
        arguments: Mapping[str, Any] | None = None,
    ) -> Ticket:
        """A reviewer's decision; `arguments`, if any, replace those the agent gave. The ticket as it stands then.

        Raises Undecidable, with a reason: absent, decided, expired, requester, tier, twice, arguments.
        """
        raise NotImplementedError

    def withdraw(self, connection: Connection, ticket: str, agent: str) -> Ticket:
        """Its own agent does not want it any more. Raises TicketUnknown."""
        raise NotImplementedError

    def consume(self, connection: Connection, call: Call) -> None:
        """Use up `call.ticket` for this call. Raises TicketVoid and its kinds, TicketUnknown, Rejected."""
        raise NotImplementedError

    def restore(self, connection: Connection, call: Call) -> None:
        """The call that used up `call.ticket` had no effect, or goes on with answers: the ticket may be used again."""
        raise NotImplementedError

    # -- reading; beside the loop or in the CLI

    def get(self, ticket: str) -> Ticket | None:
        """A ticket by its id."""
        raise NotImplementedError

    def find(
        self, *, states: Sequence[str] = (), agent: str | None = None, run: str | None = None, limit: int = 200
    ) -> list[Ticket]:
        """Tickets, newest first."""
        raise NotImplementedError

    # -- in the gateway's process

    async def wait(self, ticket: str, seconds: float) -> Ticket | None:
        """The ticket once it is no longer pending; None when it still is after `seconds`, or when there is none."""
        raise NotImplementedError

    def watch(self, heard: Callable[[Ticket], None]) -> Callable[[], None]:
        """Have `heard` told of every ticket that changes, whoever changed it; call what is returned to end that."""
        raise NotImplementedError

    async def run(self) -> None:
        """Follow changes, expire, escalate, remind and deliver notices, for ever."""
        raise NotImplementedError
