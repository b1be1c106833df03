"""Metrics of what stands in the database. They are the same in every process that shares it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import get_args

from sqlalchemy import func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.aside import aside
from gateway.budgets import CURRENCY, accounts_of, begun
from gateway.metrics import Metrics
from gateway.policy import Policy
from gateway.runs.rows import RunState
from gateway.store import Store
from gateway.tables import accounts, runs, tickets
from gateway.terms import SECONDS, Budget

log = logging.getLogger("toolgate")

_LOOK = 5.0
"""Seconds between two looks."""
_ANY = "*"
"""Stands for the currency of a budget that each currency has for itself: which there are, callers say."""

_Labels = tuple[str, str, str, str, str]
"""Agent, object, argument, currency and period."""


class Gauges:
    """Looks now and then, beside the event loop, and sets the metrics."""

    def __init__(
        self, store: Store, metrics: Metrics, policy: Callable[[], Policy], clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._policy = policy
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                spent = await aside(partial(self._spent, dict(_budgets(self._policy()))))
                self._metrics.budgets(spent)
                await aside(self._look)
            except SQLAlchemyError as error:
                log.debug("the store cannot be looked through now (%s)", type(error).__name__)
            await asyncio.sleep(_LOOK)

    def _look(self) -> None:
        metrics, now = self._metrics, self._clock()
        waiting = select(func.min(tickets.c.opened), func.min(tickets.c.expires)).where(tickets.c.state == "pending")
        opened, expires = tuple(self._store.read(waiting)[0])
        metrics.oldest_ticket.set(0.0 if opened is None else max(0.0, now - opened))
        metrics.next_expiry.set(float("inf") if expires is None else max(0.0, expires - now))
        counted = select(runs.c.state, func.count().label("runs")).group_by(runs.c.state)
        states = {row.state: row.runs for row in self._store.read(counted)}
        for state in get_args(RunState):
            metrics.runs.labels(state).set(states.get(state, 0))

    def _spent(self, budgets: Mapping[_Labels, Budget]) -> dict[_Labels, tuple[int, int]]:
        """Of each budget what its current window has taken, and what it allows."""
        found = {}
        now = self._clock()
        for period in SECONDS:
            of_period = {labels: budget for labels, budget in budgets.items() if labels[4] == period}
            totals = self._totals(of_period, str(begun(period, now))) if of_period else {}
            for labels, budget in of_period.items():
                found[labels] = max([0, *_of(labels, totals)]), budget.maximum
        return found

    def _totals(self, budgets: Mapping[_Labels, Budget], window: str) -> dict[str, int]:
        named = [_account(labels) for labels in budgets if labels[3] != _ANY]
        several = [
            accounts.c.account.startswith(_head(labels), autoescape=True) for labels in budgets if labels[3] == _ANY
        ]
        wanted = or_(accounts.c.account.in_(named), *several)
        rows = self._store.read(select(accounts.c.account, accounts.c.total).where(accounts.c.window == window, wanted))
        return {row.account: row.total for row in rows}


def _budgets(policy: Policy) -> Iterator[tuple[_Labels, Budget]]:
    """Every budget of a span of time, the higher one first where two have one account: the lower one counts."""
    found = []
    for agent, grant in policy.grants.items():
        for terms in grant.terms.values():
            for budget in terms.budgets:
                if budget.period in SECONDS:
                    currency = budget.currency or "-"
                    shown = currency if currency == "-" or CURRENCY.fullmatch(currency) else _ANY
                    found.append(((agent, terms.object, budget.argument, shown, budget.period), budget))
    yield from sorted(found, key=lambda each: -each[1].maximum)


def _head(labels: _Labels) -> str:
    return accounts_of(*labels[:3])


def _account(labels: _Labels) -> str:
    """As `gateway.budgets` names it."""
    return f"{_head(labels)}{labels[3]}/{labels[4]}"


def _of(labels: _Labels, totals: Mapping[str, int]) -> list[int]:
    if labels[3] != _ANY:
        return [totals[account]] if (account := _account(labels)) in totals else []
    head, tail = _head(labels), f"/{labels[4]}"
    return [total for account, total in totals.items() if account.startswith(head) and account.endswith(tail)]
