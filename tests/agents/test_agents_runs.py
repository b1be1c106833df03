"""What the loop tells the gateway of its runs: their leases, and how they end."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fake_gateway import FakeGateway
from scripted_turns import STOCK, MakeAgent, Turns, calls, text, use

from agents.run import Limits
from agents.tools import MARK, ROLLBACK

LEASED = Limits(lease=30.0)
PENDING = {"content": [{"type": "text", "text": "NOT EXECUTED"}], "_meta": {"toolgate/pending": "T1"}}
REFUSED = {"content": [{"type": "text", "text": "The run is over."}], "isError": True}


async def test_the_model_is_not_offered_the_tools_that_its_runtime_uses(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    script = Turns([text("ok")])
    await (await make_agent(script)).run("go", run_id="r1")
    offered = {tool["name"] for tool in script.requests[0]["tools"]}
    assert offered.isdisjoint({MARK, ROLLBACK})
    assert offered >= {"toolgate__escalate", "toolgate__await_approval"}, "the answer to one comes with the other"


async def test_calls_ask_for_the_lease_and_a_good_end_closes_the_run(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    agent = await make_agent(Turns([calls(STOCK), text("ok")]), limits=LEASED)
    await agent.run("go", run_id="r1")
    assert [call.meta["toolgate/lease"] for call in gateway.calls] == [30.0]
    assert gateway.marks() == [("r1", "finished")]


async def test_no_lease_is_asked_for_unless_wanted(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    await (await make_agent(Turns([calls(STOCK), text("ok")]))).run("go", run_id="r1")
    assert "toolgate/lease" not in gateway.calls[0].meta


async def test_an_agent_that_may_not_close_its_runs_has_no_lease_that_would_undo_a_good_end(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    gateway.hidden = {MARK, ROLLBACK}
    agent = await make_agent(Turns([calls(STOCK), text("ok")]), limits=LEASED)
    run = await agent.run("go", run_id="r1")
    assert "toolgate/lease" not in gateway.calls[0].meta
    assert (run.outcome, run.detail, gateway.own) == ("end_turn", "", [])


async def test_a_run_that_ends_badly_is_left_to_its_lease(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    agent = await make_agent(Turns([calls(STOCK), text("{", "max_tokens")]), limits=LEASED)
    await agent.run("go", run_id="r1")
    assert gateway.marks() == []


async def test_a_run_that_waits_for_people_drops_its_lease_and_is_closed_when_it_went_on(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    gateway.answer("payment__refund_card", PENDING)
    refund = use(1, "payment__refund_card", {"charge_id": "chg_1", "amount": 5, "reason": "late"})
    agent = await make_agent(Turns([calls(refund), text("refunded")]), limits=LEASED)
    run = await agent.run("go", run_id="r1")
    assert [call.arguments for call in gateway.own] == [{"run": "r1", "state": "active", "lease": 0}]
    gateway.instead.clear()
    await agent.resume(run)
    assert gateway.marks() == [("r1", "active"), ("r1", "finished")]


async def test_a_run_that_is_part_of_something_larger_is_not_closed_by_its_good_end(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    agent = await make_agent(Turns([calls(STOCK), text("ok")]), limits=LEASED)
    run = await agent.run("go", run_id="r1", closes=False)
    assert (run.outcome, gateway.marks()) == ("end_turn", [])


async def test_the_lease_is_renewed_while_the_model_thinks(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    renewed = threading.Event()

    def mark(arguments: dict[str, Any]) -> dict[str, Any]:
        renewed.set()
        return {"content": [], "structuredContent": {}}

    def think(request: dict[str, Any]) -> dict[str, Any]:
        assert renewed.wait(10), "nobody renewed the lease"
        return text("at last")

    gateway.instead[MARK] = mark
    run = await (await make_agent(Turns([think]), limits=Limits(lease=0.3))).run("go", run_id="r1")
    assert run.text == "at last"
    assert gateway.own[0].arguments == {"run": "r1", "state": "active", "lease": 0.3}
    assert gateway.marks()[-1] == ("r1", "finished")


async def test_a_good_end_that_the_gateway_does_not_take_is_told(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    gateway.answer(MARK, REFUSED)
    run = await (await make_agent(Turns([text("ok")]))).run("go", run_id="r1")
    assert (run.outcome, run.detail) == ("end_turn", "the gateway did not close the run: The run is over.")


@pytest.mark.parametrize("tool", [MARK, ROLLBACK])
async def test_what_the_runtime_tells_a_gateway_that_is_away_does_not_raise(make_agent: MakeAgent, tool: str) -> None:
    agent = await make_agent(Turns([]), gateway="http://127.0.0.1:9/mcp")
    answer = await agent.tell(tool, run="r1")
    assert answer is not None
    assert (answer.is_error, "not there" in answer.text) == (True, True)
