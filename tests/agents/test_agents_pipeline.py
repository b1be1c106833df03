"""Stages, retries and compensation, on the real loop, a real MCP server and a scripted model."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_gateway import FakeGateway, undone
from scripted_turns import MakeAgent, Turns, answer, calls, text, use

from agents import agent
from agents.agent import patiently
from agents.order import JOBS, order_desk
from agents.pipeline import Pipeline, Stage
from agents.run import Limits, Run
from agents.runs import Runs
from agents.scripted import SCRIPTS
from agents.scripted.server import ApiError
from agents.tools import MARK, ROLLBACK

EXAMPLES = Path(__file__).parents[2] / "agents" / "examples"
COUNTED = {
    "type": "object",
    "properties": {"count": {"type": "integer", "minimum": 1}},
    "required": ["count"],
    "additionalProperties": False,
}
REFUND = use(1, "payment__refund_card", {"charge_id": "chg_1", "amount": 5, "reason": "late"})
PENDING = {"content": [{"type": "text", "text": "NOT EXECUTED"}], "_meta": {"toolgate/pending": "T1"}}


async def stage(
    make_agent: MakeAgent, script: Turns, name: str = "one", lease: float | None = None, **more: Any
) -> Stage:
    made = await make_agent(script, name=name, limits=Limits(lease=lease))
    return Stage(agent=made, brief=dict, schema=COUNTED, **more)


def line(stages: list[Stage]) -> Pipeline:
    runs = next(agent.runs for stage in stages for agent in stage.agent.agents())
    return Pipeline(name="line", job="Tests.", runs=runs, stages=stages)


async def piped(stages: list[Stage], task: Any) -> Run:
    return await line(stages).run(json.dumps(task), run_id="r")


def staged(run: Run) -> dict[str, Any]:
    """The output of each stage that ended; of one that failed, why."""
    notes = [note for note in run.notes if note["kind"] == "staged"]
    return {note["stage"]: note["output"] or note["reason"] for note in notes}


async def test_a_wrong_answer_goes_back_with_its_error_into_the_same_conversation(
    make_agent: MakeAgent,
) -> None:
    script = Turns([answer({"count": 0}), text("no json"), answer({"count": 2})])
    run = await piped([await stage(make_agent, script, retry_count=2)], {"n": 1})
    assert (run.outcome, staged(run), run.parts[0].said) == ("end_turn", {"one": {"count": 2}}, 3)
    assert json.loads(run.text) == {"one": {"count": 2}}
    said = [message["content"][0]["text"] for message in script.requests[-1]["messages"]]
    assert said[0] == '{"task": {"n": 1}}'
    assert "$.count: 0 is less than the minimum of 1" in said[2]
    assert "not JSON" in said[4]


async def test_the_shape_is_asked_for_with_bounds_as_description(make_agent: MakeAgent) -> None:
    script = Turns([answer({"count": 1})])
    await piped([await stage(make_agent, script)], {})
    shape = script.requests[0]["output_config"]["format"]
    assert shape["type"] == "json_schema"
    wanted, failed = shape["schema"]["anyOf"]
    assert "minimum" not in wanted["properties"]["count"]
    assert "minimum: 1" in wanted["properties"]["count"]["description"]
    assert list(failed["properties"]) == ["failed"]


async def test_retry_count_zero_asks_once(make_agent: MakeAgent) -> None:
    script = Turns([answer({"count": 0})])
    run = await piped([await stage(make_agent, script, retry_count=0)], {})
    assert (run.outcome, len(script.requests)) == ("failed", 1)


async def test_a_check_beyond_the_schema_is_fed_back_too(make_agent: MakeAgent) -> None:
    script = Turns([answer({"count": 3}), answer({"count": 4})])
    even = await stage(make_agent, script, check=lambda known, output: "odd" if output["count"] % 2 else None)
    assert staged(await piped([even], {})) == {"one": {"count": 4}}


async def test_a_stage_that_says_it_failed_is_not_asked_again(make_agent: MakeAgent) -> None:
    script = Turns([answer({"failed": "sold out"})])
    run = await piped([await stage(make_agent, script)], {})
    assert (staged(run), run.detail, len(script.requests)) == ({"one": "sold out"}, "one: sold out", 1)


async def test_a_stage_whose_run_ends_badly_fails_with_the_outcome(make_agent: MakeAgent) -> None:
    run = await piped([await stage(make_agent, Turns([text("{", "max_tokens")]))], {})
    assert staged(run) == {"one": "max_tokens"}


async def test_later_stages_know_earlier_results_and_do_not_run_after_a_failure(make_agent: MakeAgent) -> None:
    first, second = Turns([answer({"count": 7})]), Turns([answer({"failed": "no"})])
    stages = [await stage(make_agent, script, name) for name, script in (("a", first), ("b", second), ("c", Turns([])))]
    run = await piped(stages, {"given": 1})
    told = json.loads(second.requests[0]["messages"][0]["content"][0]["text"])
    assert told == {"task": {"given": 1}, "a": {"count": 7}}
    assert staged(run) == {"a": {"count": 7}, "b": "no"}


async def test_runs_stay_open_until_the_pipeline_ends_and_are_all_closed_then(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    def last(request: dict[str, Any]) -> dict[str, Any]:
        assert gateway.own == []
        return answer({"count": 2})

    stages = [await stage(make_agent, Turns([answer({"count": 1})]), "a"), await stage(make_agent, Turns([last]), "b")]
    run = await piped(stages, {})
    assert (run.outcome, list(staged(run))) == ("end_turn", ["a", "b"])
    assert gateway.marks() == [("r/a", "finished"), ("r/b", "finished")]
    assert [call.token for call in gateway.own] == ["tok-a", "tok-b"]


async def test_a_run_that_could_not_be_closed_is_told(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    gateway.refuse(MARK, "The run is over.", "run_closed")
    run = await piped([await stage(make_agent, Turns([answer({"count": 1})]), "a")], {})
    assert run.outcome == "end_turn"
    assert run.notes[-1] == {"kind": "unclosed", "run": "r/a", "text": "The run is over."}


async def test_the_gateway_undoes_every_run_latest_first_as_its_own_agent_and_one_failure_stops_none(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    def rollback(arguments: dict[str, Any]) -> dict[str, Any]:
        match arguments["run"]:
            case "r/one":
                return undone("r/one", "reserve_inventory", "reserve_inventory")
            case "r/two":
                return undone("r/two", "reserve_inventory", waiting=("reserve_inventory",))
            case _:
                return {"content": [{"type": "text", "text": "Denied."}], "isError": True}

    gateway.instead[ROLLBACK] = rollback
    names = ("one", "two", "three", "four")
    stages = [await stage(make_agent, Turns([answer({"count": 1})]), name) for name in names[:3]]
    stages.append(await stage(make_agent, Turns([answer({"failed": "late"})]), "four"))
    run = await piped(stages, {})
    assert gateway.marks() == [(f"r/{name}", "rollback") for name in reversed(names)]
    assert [call.token for call in gateway.own] == [f"tok-{name}" for name in reversed(names)]
    notes = [note for note in run.notes if note["kind"] == "undone"]
    told = [(each["agent"], each["undone"], each["left"], each["worked"]) for each in notes]
    kind = "inventory/reserve_inventory"
    assert told == [
        ("four", [], [], False),
        ("three", [], [], False),
        ("two", [kind], [kind], False),
        ("one", [kind, kind], [], True),
    ]


async def test_a_stage_that_undid_nothing_is_not_reported(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    run = await piped([await stage(make_agent, Turns([answer({"failed": "no"})]))], {})
    assert (gateway.marks(), [note["kind"] for note in run.notes]) == ([("r/one", "rollback")], ["staged"])


async def test_a_stage_waits_for_people_and_goes_on_with_what_they_decided(
    make_agent: MakeAgent, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "PAUSE", 0.01)
    pending = iter([PENDING, PENDING])
    done = {"content": [{"type": "text", "text": "refunded"}]}
    gateway.instead["payment__refund_card"] = lambda arguments: next(pending, done)
    pipeline = line([await stage(make_agent, Turns([calls(REFUND), answer({"count": 1})]))])
    run = await pipeline.run("{}", run_id="r")
    assert (run.outcome, run.detail) == ("waiting", "one: waiting: for a decision on T1")
    assert (await patiently(pipeline, run, 10)).outcome == "end_turn"
    assert {call.meta["toolgate/key"] for call in gateway.calls} == {"r/one/toolu_1"}
    assert len(gateway.calls) == 3


async def test_while_a_stage_waits_nothing_is_undone_and_no_lease_runs(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    gateway.answer("payment__refund_card", PENDING)
    stages = [
        await stage(make_agent, Turns([answer({"count": 1})]), "a", lease=30.0),
        await stage(make_agent, Turns([calls(REFUND)]), "b", lease=30.0),
    ]
    run = await piped(stages, {})
    assert (run.outcome, staged(run)) == ("waiting", {"a": {"count": 1}})
    last = {call.arguments["run"]: call.arguments for call in gateway.own}
    assert last == {name: {"run": name, "state": "active", "lease": 0} for name in ("r/a", "r/b")}


@pytest.mark.parametrize("away", ["model", "gateway"])
async def test_what_is_not_its_own_failure_leaves_a_stage_to_be_gone_on_with(
    make_agent: MakeAgent, gateway: FakeGateway, away: str
) -> None:
    def broken(request: dict[str, Any]) -> dict[str, Any]:
        raise ApiError(400, "invalid_request_error", "overloaded")

    first, second = Turns([answer({"count": 1})]), Turns([broken] if away == "model" else [])
    stages = [await stage(make_agent, first, "a"), await stage(make_agent, second, "b")]
    lost = [stages[0], replace(stages[1], agent=replace(stages[1].agent, gateway="http://127.0.0.1:9/mcp"))]
    run = await piped(stages if away == "model" else lost, {})
    assert (run.outcome, gateway.own) == (f"{away}_error", [])
    second.turns, second.requests = [answer({"count": 2})], []
    run = await piped(stages, {})
    assert (run.outcome, staged(run), len(first.requests)) == ("end_turn", {"a": {"count": 1}, "b": {"count": 2}}, 1)


async def test_leases_of_all_stages_are_renewed_until_the_pipeline_ends(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    renewed = {"r/a": threading.Event(), "r/b": threading.Event()}

    def mark(arguments: dict[str, Any]) -> dict[str, Any]:
        renewed[arguments["run"]].set()
        return {"content": []}

    def think(request: dict[str, Any]) -> dict[str, Any]:
        assert all(event.wait(10) for event in renewed.values()), "a lease was not renewed"
        return answer({"count": 2})

    gateway.instead[MARK] = mark
    scripts = {"a": Turns([answer({"count": 1})]), "b": Turns([think])}
    stages = [await stage(make_agent, script, name, lease=0.3) for name, script in scripts.items()]
    assert (await piped(stages, {})).ok


async def run_order(make_agent: MakeAgent, runs: Runs, **changes: Any) -> Run:
    order = json.loads((EXAMPLES / "order.json").read_text()) | changes
    agents = {name: await make_agent(SCRIPTS["order"], name=name) for name in JOBS}
    pipeline = order_desk(lambda name, job, system: replace(agents[name], job=job, system=system), runs)
    return await pipeline.run(json.dumps(order), run_id="order-1")


async def test_an_order_runs_through_five_specialists_each_with_its_own_token(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    run = await run_order(make_agent, runs)
    outputs = staged(run)
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
    shown = json.dumps([part.messages for part in run.parts if part.agent != "payment"])
    assert "tok_visa" not in shown


@pytest.mark.parametrize("changes", [{"promo_code": None}, {"promo_code": "EXPIRED5"}])
async def test_an_order_without_a_valid_promo_code_costs_the_full_price(
    make_agent: MakeAgent, runs: Runs, changes: dict[str, Any]
) -> None:
    run = await run_order(make_agent, runs, **changes)
    assert (run.outcome, staged(run)["pricing"]["discount"]) == ("end_turn", 0)


async def test_a_declined_card_ends_the_order_and_has_every_stage_undone(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    run = await run_order(make_agent, runs, card_token="tok_declined")
    assert (list(staged(run))[-1], run.outcome) == ("payment", "failed")
    assert "declined: insufficient funds" in run.detail
    assert gateway.tools().count("payment__charge_card") == 1
    stages = ("payment", "pricing", "inventory", "validation")
    assert gateway.marks() == [(f"order-1/{name}", "rollback") for name in stages]


async def test_a_failure_after_the_charge_has_it_undone_before_the_reservations(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    gateway.refuse("fulfillment__create_shipment", "The carrier is down.")
    run = await run_order(make_agent, runs)
    assert staged(run)["fulfillment"] == "The carrier is down."
    assert [run for run, _ in gateway.marks()] == [f"order-1/{name}" for name in reversed(JOBS)]


async def test_a_suspicious_card_is_not_charged(make_agent: MakeAgent, gateway: FakeGateway, runs: Runs) -> None:
    run = await run_order(make_agent, runs, card_token="tok_fraud")
    assert "fraud" in run.detail
    assert "payment__charge_card" not in gateway.tools()
