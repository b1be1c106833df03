"""What a call takes of limits and budgets: how much, in which window, in which currency."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_parts import NOON, call

from gateway.budgets import spends
from gateway.call import Call
from gateway.controls.reserve import Reserve
from gateway.errors import BudgetExceeded, InvalidArguments
from gateway.terms import Budget, Limit, Terms


def limited(*limits: Limit, **fields: Any) -> Call:
    return call("c1", terms=Terms("shop/pay", limits=limits), **fields)


def budgeted(*budgets: Budget, **fields: Any) -> Call:
    return call("c1", terms=Terms("shop/*", budgets=budgets), **fields)


def test_a_call_without_terms_takes_nothing() -> None:
    assert spends(call("c1"), NOON) == ()


def test_each_limit_has_a_window_that_begins_at_full_units_of_utc() -> None:
    made = limited(*(Limit(9, period) for period in ("second", "minute", "hour", "day")))
    found = spends(made, NOON + 61.5)
    assert [each.account for each in found] == [
        f"limit/ada/shop/pay/{period}" for period in ("second", "minute", "hour", "day")
    ]
    begins = [NOON + 61, NOON + 60, NOON, NOON - 43_200]
    assert [each.window for each in found] == [str(int(begin)) for begin in begins]
    assert [each.ends for each in found] == [NOON + 62, NOON + 120, NOON + 3600, NOON + 43_200]
    assert {(each.amount, each.maximum) for each in found} == {(1, 9)}


def test_a_budget_is_of_what_the_rule_names_and_for_each_agent() -> None:
    (found,) = spends(budgeted(Budget("amount", 100, "day")), NOON)
    assert (found.account, found.amount, found.maximum) == ("budget/ada/shop/*/amount/-/day", 5, 100)


def test_a_budget_of_a_run_needs_a_run_and_lasts_as_long() -> None:
    budget = Budget("amount", 100, "run")
    (found,) = spends(budgeted(budget, run="r1"), NOON)
    assert (found.window, found.ends) == ("r1", None)
    with pytest.raises(InvalidArguments, match="which run"):
        spends(budgeted(budget), NOON)


@pytest.mark.parametrize(("amount", "counted"), [(0, 0), (7, 7), (7.0, 7), (2**63, 2**63)])
def test_an_amount_is_a_whole_number(amount: Any, counted: int) -> None:
    (found,) = spends(budgeted(Budget("amount", 100, "day"), arguments={"amount": amount}), NOON)
    assert found.amount == counted


@pytest.mark.parametrize("arguments", [{}, *({"amount": value} for value in (-1, 1.5, "7", None, True, [7], 1e400))])
def test_what_is_no_whole_number_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArguments, match="amount"):
        spends(budgeted(Budget("amount", 100, "day"), arguments=arguments), NOON)


def paid(currency: Any, *budgets: Budget) -> list[str]:
    """The accounts that a call in this currency takes from."""
    made = budgeted(*budgets, arguments={"amount": 5, "currency": currency, "coin": currency})
    return [each.account.removeprefix("budget/ada/shop/*/") for each in spends(made, NOON)]


USD, EUR = (Budget("amount", 100, "day", currency) for currency in ("USD", "EUR"))
TOTAL, EACH = Budget("amount", 100, "run", None), Budget("amount", 100, "day", "coin")


def test_a_budget_in_a_currency_takes_what_is_in_it_and_another_currency_has_none() -> None:
    assert paid("USD", USD) == paid("usd", USD) == ["amount/USD/day"]
    with pytest.raises(BudgetExceeded, match="USD"):
        paid("EUR", USD)


def test_several_currencies_have_budgets_of_their_own() -> None:
    assert paid("EUR", USD, EUR) == ["amount/EUR/day"]
    with pytest.raises(BudgetExceeded):
        paid("GBP", USD, EUR)


def test_an_argument_that_names_the_currency_has_a_budget_for_each() -> None:
    assert paid("EUR", EACH) == ["amount/EUR/day"] and paid("gbp", EACH) == ["amount/GBP/day"]
    assert paid("GBP", USD, EACH) == ["amount/GBP/day"]


@pytest.mark.parametrize("currency", ["", "US", "USDX", "U$D", "\uff35\uff33\uff24", "USD ", 840, None])
def test_what_is_no_currency_opens_no_budget_of_its_own(currency: Any) -> None:
    for budget in (USD, EACH):
        with pytest.raises(InvalidArguments, match="currency"):
            paid(currency, budget)


def test_a_sum_over_all_currencies_does_not_admit_one_that_has_no_budget() -> None:
    made = {"arguments": {"amount": 5, "currency": "EUR"}, "run": "r1"}
    with pytest.raises(BudgetExceeded):
        spends(budgeted(TOTAL, USD, **made), NOON)


def test_of_two_budgets_of_the_same_sum_the_lower_counts() -> None:
    (found,) = spends(budgeted(Budget("amount", 100, "day"), Budget("amount", 50, "day")), NOON)
    assert found.maximum == 50


async def test_the_control_says_what_is_to_be_taken_and_takes_nothing() -> None:
    seen: list[Call] = []

    async def below(made: Call) -> dict[str, Any]:
        seen.append(made)
        return {}

    await Reserve(lambda: NOON)(limited(Limit(2, "day")), below)
    await Reserve(lambda: NOON)(call("c2"), below)
    assert [len(made.spends) for made in seen] == [1, 0]
