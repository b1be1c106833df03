"""What requests cost, by the shipped price file."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from fake_gateway import FakeGateway
from scripted_turns import STOCK, MakeAgent, Turns, calls, text

from agents.agent import Agent
from agents.model import Model
from agents.prices import load_prices, price_request
from agents.run import Limits

DAY = date(2026, 11, 1)
SONNET = "claude-sonnet-5-5"


def cost(model: str, day: date = DAY, **usage: Any) -> float | None:
    return price_request(load_prices(), model, {"input_tokens": 0, "output_tokens": 0, **usage}, day)


def test_each_kind_of_token_has_its_own_price() -> None:
    million = 1_000_000
    assert cost(SONNET, input_tokens=million) == 2.0
    assert cost(SONNET, output_tokens=million) == 10.0
    assert cost(SONNET, cache_read_input_tokens=million) == 0.10
    assert cost(SONNET, cache_creation_input_tokens=million) == 2.50
    hour = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": million}
    assert cost(SONNET, cache_creation_input_tokens=million, cache_creation=hour) == 4.0


def test_a_request_costs_what_was_in_force_on_its_day() -> None:
    assert cost(SONNET, date(2026, 10, 6), cache_read_input_tokens=1_000_000) == 0.20
    assert cost(SONNET, date(2026, 10, 7), cache_read_input_tokens=1_000_000) == 0.10
    assert cost(SONNET, date(2026, 1, 1), input_tokens=1) is None


def test_a_long_prompt_raises_every_price_of_its_request_and_of_no_other() -> None:
    haiku = "claude-haiku-5-5"
    assert cost(haiku, input_tokens=100_000, output_tokens=1000) == pytest.approx(0.0105)
    assert cost(haiku, input_tokens=60_000, cache_read_input_tokens=40_001) == pytest.approx(0.03200005)
    assert cost(haiku, input_tokens=100_001, output_tokens=1000) == pytest.approx(0.0525005)


def test_what_is_not_in_the_price_list_is_not_known_rather_than_free() -> None:
    assert cost("claude-unheard-of", input_tokens=1) is None
    assert cost("scripted:order", input_tokens=1) is None
    assert cost(SONNET, input_tokens=1, speed="fast") is None
    assert cost(SONNET, input_tokens=1, service_tier="batch") is None


def test_a_dated_snapshot_costs_what_its_model_costs() -> None:
    assert cost("claude-sonnet-5-5-20260929", input_tokens=1_000_000) == 2.0


async def test_a_run_adds_up_its_requests_and_stops_at_its_cost_limit(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    usage = {"input_tokens": 60_000, "output_tokens": 1000}
    haiku = await priced(make_agent, Turns([calls(STOCK, usage=usage)] * 2 + [text("ok", usage=usage)]))
    run = await haiku.run("go", run_id="r")
    assert run.cost == pytest.approx(3 * 0.0065), "60,000 tokens thrice are three short prompts, not a long one"

    limited = await priced(make_agent, Turns([calls(STOCK, usage=usage)] * 9), Limits(cost=0.01))
    run = await limited.run("go", run_id="r2")
    assert (run.outcome, run.turns) == ("cost_limit", 2)


async def test_a_scripted_run_has_no_known_cost(make_agent: MakeAgent) -> None:
    assert (await (await make_agent(Turns([text("ok")]))).run("go", run_id="r")).cost is None


async def priced(make_agent: MakeAgent, script: Turns, limits: Limits | None = None) -> Agent:
    client = (await make_agent(script)).model.client
    model = Model(client, "claude-haiku-5-5", load_prices(), lambda: DAY)
    return await make_agent(script, model=model, limits=limits)
