"""Stages, retries and compensation, on the real loop, a real MCP server and a scripted model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anthropic import transform_schema
from fake_gateway import FakeGateway
from scripted_turns import MakeAgent, Turns, answer, calls, text, use

from agents.compensation import Undo
from agents.order import JOBS, ORDER, SCHEMAS, order_stages
from agents.pipeline import Report, Stage, run_pipeline
from agents.run import Event
from agents.scripted import SCRIPTS

EXAMPLES = Path(__file__).parents[2] / "agents" / "examples"
COUNTED = {
    "type": "object",
    "properties": {"count": {"type": "integer", "minimum": 1}},
    "required": ["count"],
    "additionalProperties": False,
}
RELEASE = Undo(
    "inventory__reserve_inventory",
    "inventory__release_reservation",
    lambda asked, made: {"reservation_id": made["reservation_id"]},
)


def reserve(number: int) -> dict[str, Any]:
    return use(number, "inventory__reserve_inventory", {"sku": "LAMP-01", "quantity": number, "order_id": "o"})


async def stage(make_agent: MakeAgent, script: Turns, name: str = "one", **more: Any) -> Stage:
    return Stage(agent=await make_agent(script, name=name), brief=dict, schema=COUNTED, **more)


async def test_a_wrong_answer_goes_back_with_its_error_into_the_same_conversation(
    make_agent: MakeAgent, events: list[Event]
) -> None:
    script = Turns([answer({"count": 0}), text("no json"), answer({"count": 2})])
    report = await run_pipeline([await stage(make_agent, script, retry_count=2)], {"n": 1}, run_id="r")
    (result,) = report.results
    assert (report.completed, result.output, result.retries) == (True, {"count": 2}, 2)
    said = [message["content"][0]["text"] for message in script.requests[-1]["messages"]]
    assert said[0] == '{"n": 1}'
    assert "$.count: 0 is less than the minimum of 1" in said[2]
    assert "not JSON" in said[4]


async def test_the_shape_is_asked_for_with_bounds_as_description(make_agent: MakeAgent) -> None:
    script = Turns([answer({"count": 1})])
    await run_pipeline([await stage(make_agent, script)], {}, run_id="r")
    shape = script.requests[0]["output_config"]["format"]
    assert shape["type"] == "json_schema"
    wanted, failed = shape["schema"]["anyOf"]
    assert "minimum" not in wanted["properties"]["count"]
    assert "minimum: 1" in wanted["properties"]["count"]["description"]
    assert list(failed["properties"]) == ["failed"]


async def test_retry_count_zero_asks_once(make_agent: MakeAgent) -> None:
    script = Turns([answer({"count": 0})])
    report = await run_pipeline([await stage(make_agent, script, retry_count=0)], {}, run_id="r")
    assert (report.completed, report.results[0].retries, len(script.requests)) == (False, 0, 1)


async def test_a_check_beyond_the_schema_is_fed_back_too(make_agent: MakeAgent) -> None:
    script = Turns([answer({"count": 3}), answer({"count": 4})])
    even = await stage(make_agent, script, check=lambda known, output: "odd" if output["count"] % 2 else None)
    report = await run_pipeline([even], {}, run_id="r")
    assert report.results[0].output == {"count": 4}


async def test_a_stage_that_says_it_failed_is_not_asked_again(make_agent: MakeAgent) -> None:
    script = Turns([answer({"failed": "sold out"})])
    report = await run_pipeline([await stage(make_agent, script)], {}, run_id="r")
    assert (report.results[0].reason, len(script.requests)) == ("sold out", 1)


async def test_a_stage_whose_run_ends_badly_fails_with_the_outcome(make_agent: MakeAgent) -> None:
    report = await run_pipeline([await stage(make_agent, Turns([text("{", "max_tokens")]))], {}, run_id="r")
    assert report.results[0].reason == "max_tokens"


async def test_later_stages_know_earlier_results_and_do_not_run_after_a_failure(make_agent: MakeAgent) -> None:
    first, second = Turns([answer({"count": 7})]), Turns([answer({"failed": "no"})])
    stages = [await stage(make_agent, script, name) for name, script in (("a", first), ("b", second), ("c", Turns([])))]
    report = await run_pipeline(stages, {"given": 1}, run_id="r")
    told = json.loads(second.requests[0]["messages"][0]["content"][0]["text"])
    assert told == {"given": 1, "a": {"count": 7}}
    assert [(result.stage, result.output) for result in report.results] == [("a", {"count": 7}), ("b", None)]


async def test_effects_are_undone_in_reverse_as_their_own_agent_and_one_failure_stops_none(
    make_agent: MakeAgent, gateway: FakeGateway, events: list[Event]
) -> None:
    def release(arguments: dict[str, Any]) -> dict[str, Any]:
        broken = arguments["reservation_id"] == held[1]
        content = [{"type": "text", "text": "broken" if broken else "{}"}]
        return {"content": content, "structuredContent": {}, "isError": broken}

    def hold(arguments: dict[str, Any]) -> dict[str, Any]:
        made = {"reservation_id": f"res_{arguments['quantity']}"}
        held.append(made["reservation_id"])
        return {"content": [{"type": "text", "text": json.dumps(made)}], "structuredContent": made}

    held: list[str] = []
    gateway.instead = {RELEASE.call: hold, RELEASE.by: release}
    one = await stage(
        make_agent, Turns([calls(reserve(1)), calls(reserve(2)), answer({"count": 1})]), "one", undo=(RELEASE,)
    )
    two = await stage(make_agent, Turns([calls(reserve(3)), answer({"failed": "later"})]), "two", undo=(RELEASE,))
    report = await run_pipeline([one, two], {}, run_id="r")
    released = [call for call in gateway.calls if call.tool == RELEASE.by]
    assert [call.arguments["reservation_id"] for call in released] == ["res_3", "res_2", "res_1"]
    assert [call.token for call in released] == ["tok-two", "tok-one", "tok-one"]
    keys = [(call.meta["toolgate/run"], call.meta["toolgate/key"]) for call in released]
    assert keys[0] == ("r/two", "r/two/comp/toolu_3")
    assert [(undone.agent, undone.worked) for undone in report.undone] == [("two", True), ("one", False), ("one", True)]
    assert report.undone[1].text == "broken"


async def test_a_call_that_failed_or_cannot_be_read_is_not_silently_left(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    gateway.answer(RELEASE.call, {"content": [{"type": "text", "text": "ok!"}], "structuredContent": {}})
    script = Turns([calls(reserve(1)), answer({"failed": "no"})])
    report = await run_pipeline([await stage(make_agent, script, undo=(RELEASE,))], {}, run_id="r")
    (undone,) = report.undone
    assert not undone.worked
    assert "JSONDecodeError" in undone.text


async def run_order(make_agent: MakeAgent, **changes: Any) -> Report:
    order = json.loads((EXAMPLES / "order.json").read_text()) | changes
    agents = {name: await make_agent(SCRIPTS["order"], name=name) for name in JOBS}
    stages = order_stages(lambda name, job, system: replace(agents[name], job=job, system=system))
    return await run_pipeline(stages, {"order": order}, run_id="order-1")


async def test_an_order_runs_through_five_specialists_each_with_its_own_token(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    report = await run_order(make_agent)
    assert [result.reason for result in report.results if result.output is None] == []
    outputs = {result.stage: result.output for result in report.results}
    assert list(outputs) == list(JOBS)
    assert outputs["pricing"] == {
        "subtotal": 11000,
        "discount": 1100,
        "tax": 495,
        "shipping": 775,
        "total": 11170,
        "currency": "USD",
    }
    (charge,) = [call for call in gateway.calls if call.tool == "payment__charge_card"]
    assert (charge.arguments["amount"], charge.meta["toolgate/run"]) == (11170, "order-1/payment")
    assert {call.tool.split("__")[0] for call in gateway.calls if call.token == "tok-validation"} == {"catalog"}
    assert {call.token for call in gateway.calls} == {f"tok-{name}" for name in JOBS}
    shown = json.dumps([result.run.messages for result in report.results if result.stage != "payment"])
    assert "tok_visa" not in shown


@pytest.mark.parametrize("changes", [{"promo_code": None}, {"promo_code": "EXPIRED5"}])
async def test_an_order_without_a_valid_promo_code_costs_the_full_price(
    make_agent: MakeAgent, changes: dict[str, Any]
) -> None:
    report = await run_order(make_agent, **changes)
    assert report.results[2].output is not None
    assert report.results[2].output["discount"] == 0


async def test_a_declined_card_ends_the_order_and_releases_what_was_reserved(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    report = await run_order(make_agent, card_token="tok_declined")
    assert (report.results[-1].stage, report.completed) == ("payment", False)
    assert "declined: insufficient funds" in report.results[-1].reason
    made = [line["reservation_id"] for line in (report.results[1].output or {})["reservations"]]
    released = [call for call in gateway.calls if call.tool == "inventory__release_reservation"]
    assert [call.arguments["reservation_id"] for call in released] == made[::-1]
    assert {call.token for call in released} == {"tok-inventory"}
    assert all(undone.worked for undone in report.undone)
    assert gateway.tools().count("payment__charge_card") == 1


async def test_a_failure_after_the_charge_refunds_it_first(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    gateway.refuse("fulfillment__create_shipment", "The carrier is down.")
    report = await run_order(make_agent)
    assert report.results[-1].reason == "The carrier is down."
    assert [undone.tool for undone in report.undone] == [
        "payment__refund_card",
        "inventory__release_reservation",
        "inventory__release_reservation",
    ]
    (refund,) = [call for call in gateway.calls if call.tool == "payment__refund_card"]
    assert (refund.arguments["charge_id"], refund.arguments["amount"]) == ("chg_1", 11170)


async def test_a_suspicious_card_is_not_charged(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    report = await run_order(make_agent, card_token="tok_fraud")
    assert "fraud" in report.results[-1].reason
    assert "payment__charge_card" not in gateway.tools()


def test_the_api_takes_every_schema_of_the_order() -> None:
    for schema in (ORDER, *SCHEMAS.values()):
        assert transform_schema(dict(schema))["additionalProperties"] is False
