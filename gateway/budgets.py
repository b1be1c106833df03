"""Limits and budgets in the store: what a call takes, in which window, and how it is given back.

Windows begin at full seconds, minutes, hours and days of UTC, so that a refusal can say when it is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from gateway.audit import short_name
from gateway.call import Call
from gateway.errors import BudgetExceeded, InvalidArguments, LimitExceeded, Refused
from gateway.tables import accounts, reservations
from gateway.terms import SECONDS, Budget, Limit, Period, Spend

CURRENCY = re.compile(r"[A-Z]{3}")


def spends(call: Call, now: float) -> tuple[Spend, ...]:
    """What this call would take. Raises InvalidArguments, or BudgetExceeded for a currency no budget is for."""
    assert call.permit is not None
    terms = call.permit.terms
    if not terms.limits and not terms.budgets:
        return ()
    found: dict[str, Spend] = {}
    for spend in (*_of_limits(call, terms.limits, now), *_of_budgets(call, terms.budgets, now)):
        known = found.get(spend.account)
        if known is None or spend.maximum < known.maximum:  # of two that share an account the lower one counts
            found[spend.account] = spend
    return tuple(found.values())


def _of_limits(call: Call, limits: Iterable[Limit], now: float) -> Iterator[Spend]:
    for limit in limits:
        window, ends = _window(call, limit.period, now)
        account = f"limit/{call.principal.agent}/{call.server}/{short_name(call.tool)}/{limit.period}"
        what = f"{limit.count} calls of {call.name[:160]} a {limit.period}"
        yield Spend("limit", account, window, 1, limit.count, ends, what)


def _of_budgets(call: Call, budgets: tuple[Budget, ...], now: float) -> Iterator[Spend]:
    assert call.permit is not None
    refused: dict[str, str] = {}
    taken = set()
    for budget in budgets:
        amount, currency = _amount(call, budget.argument), _currency(call, budget.currency)
        if budget.currency == currency or budget.currency is None or not CURRENCY.fullmatch(budget.currency):
            window, ends = _window(call, budget.period, now)
            what = f"{budget.maximum} of {budget.argument}{f' in {currency}' if currency else ''} a {budget.period}"
            head = accounts_of(call.principal.agent, call.permit.terms.object, budget.argument)
            account = f"{head}{currency or '-'}/{budget.period}"
            yield Spend("budget", account, window, amount, budget.maximum, ends, what)
            if budget.currency is not None:
                taken.add(budget.argument)
        else:
            refused[budget.argument] = budget.currency
    for argument, currency in refused.items():
        if argument not in taken:
            raise BudgetExceeded(
                f"There is no budget for {argument} in this currency. Nothing was run; use {currency}, or report that "
                "you cannot do this."
            )


def _window(call: Call, period: Period, now: float) -> tuple[str, float | None]:
    """The window that `now` is in, and when it ends (seconds since the epoch)."""
    if period == "run":
        if call.run is None:
            raise InvalidArguments(
                f"{call.name} has a budget for each run, and this call does not say which run it belongs to. Nothing "
                'was run; send the id of the run in _meta["toolgate/run"].'
            )
        return call.run, None
    begins = begun(period, now)
    return str(begins), float(begins + SECONDS[period])


def begun(period: str, now: float) -> int:
    """When the window of a span of time began that `now` is in: its name."""
    length = SECONDS[period]
    return int(now // length) * length


def accounts_of(agent: str, thing: str, argument: str) -> str:
    """What the accounts of a budget begin with, whatever its currency and period, which follow."""
    return f"budget/{agent}/{thing}/{argument}/"


def _amount(call: Call, name: str) -> int:
    value = call.arguments.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArguments(
            f"The argument {name!r} of {call.name} counts towards a budget, so it must be given as a whole number from "
            "0 on. Nothing was run; correct it and call again."
        )
    return value


def _currency(call: Call, named: str | None) -> str | None:
    """The currency of this call, for a budget that has `named`: a currency, or the argument that holds it."""
    if named is None:
        return None
    argument = "currency" if CURRENCY.fullmatch(named) else named
    value: Any = call.arguments.get(argument)
    currency = value.upper() if isinstance(value, str) else ""
    if not CURRENCY.fullmatch(currency):
        raise InvalidArguments(
            f"The argument {argument!r} of {call.name} says which budget is meant, so it must be given as the three "
            "letters of a currency. Nothing was run; correct it and call again."
        )
    return currency


def reserve(connection: Connection, call: str, taken: Iterable[Spend], now: float) -> None:
    """Take all of it for call `call`. Raises LimitExceeded or BudgetExceeded; whoever asked undoes the rest."""
    for spend in taken:
        there = (accounts.c.account == spend.account) & (accounts.c.window == spend.window)
        total = connection.execute(select(accounts.c.total).where(there).with_for_update()).scalar_one_or_none()
        if spend.amount > (left := spend.maximum - (total or 0)):
            raise _refusal(spend, max(left, 0), now)
        if total is None:
            row = {"account": spend.account, "window": spend.window, "total": spend.amount, "at": now}
            connection.execute(insert(accounts).values(row))
        else:
            connection.execute(update(accounts).where(there).values(total=total + spend.amount, at=now))
        held = {"call": call, "account": spend.account, "window": spend.window, "amount": spend.amount}
        connection.execute(insert(reservations).values(held))


def _refusal(spend: Spend, left: int, now: float) -> Refused:
    wait = None if spend.ends is None else max(spend.ends - now, 0.001)
    later = "" if wait is None else f"try again in {_shown(wait)}"
    if spend.kind == "limit":
        return LimitExceeded(f"The limit of {spend.what} is used up. Nothing was run; {later}.", retry_after=wait)
    if spend.amount > spend.maximum:
        wait, advice = None, "more than the whole budget is never granted"
    elif left:
        advice = f"ask for at most {left}" + (f", or {later}" if later else "")
    else:
        advice = later or "this run can spend no more: report that"
    return BudgetExceeded(
        f"The budget of {spend.what} has {left} left, and this call takes {spend.amount}. Nothing was run; {advice}.",
        retry_after=wait,
    )


def _shown(seconds: float) -> str:
    return f"{seconds:.2g} seconds" if seconds < 10 else f"{seconds:.0f} seconds"


def commit(connection: Connection, call: str) -> None:
    """What this call reserved is spent."""
    connection.execute(delete(reservations).where(reservations.c.call == call))


def release(connection: Connection, call: str, *, keep_limits: bool = False) -> None:
    """Give back what this call reserved; with `keep_limits` only budgets, and limits are spent."""
    held = connection.execute(select(reservations).where(reservations.c.call == call).with_for_update()).all()
    for row in held:
        if not (keep_limits and row.account.startswith("limit/")):
            there = (accounts.c.account == row.account) & (accounts.c.window == row.window)
            connection.execute(update(accounts).where(there).values(total=accounts.c.total - row.amount))
    commit(connection, call)
