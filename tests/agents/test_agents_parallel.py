"""Branches side by side: deadlines, partial success, what is undone, and going on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_gateway import FakeGateway
from scripted_turns import STOCK, MakeAgent, Turn, Turns, calls, text, use

from agents.parallel import Branch, Parallel
from agents.run import Run
from agents.runs import Runs
from agents.scripted.server import ApiError

PENDING = {"content": [{"type": "text", "text": "NOT EXECUTED"}], "_meta": {"toolgate/pending": "T1"}}
REFUND = use(1, "payment__refund_card", {"charge_id": "chg_1", "amount": 5, "reason": "late"})


@pytest.fixture
def hung() -> Iterator[threading.Event]:
    """Models that hang are let go at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


async def fan(make_agent: MakeAgent, runs: Runs, scripts: dict[str, list[Turn]], **more: Any) -> Parallel:
    branches = {name: await make_agent(Turns(turns), name=name) for name, turns in scripts.items()}
    given = {"deadline": 60.0, "min_required_successes": 1, **more}
    return Parallel(name="fan", job="Tests.", runs=runs, branches=branches, **given)


def statuses(run: Run) -> dict[str, str]:
    return {branch["name"]: branch["status"] for branch in json.loads(run.text)}


async def test_all_branches_work_at_once_and_what_each_came_to_is_kept(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    gateway.meet("inventory__check_stock", 2)
    good, bad = [calls(STOCK), text("here")], [text("I cannot", "refusal")]
    run = await (await fan(make_agent, runs, {"a": good, "b": good, "c": bad})).run("go", run_id="r")
    assert not any(result.get("is_error") for part in run.agents for _, result in part.calls())
    assert (run.outcome, statuses(run)) == ("end_turn", {"a": "success", "b": "success", "c": "failed"})
    (c,) = [branch for branch in json.loads(run.text) if branch["name"] == "c"]
    assert (c["text"], c["detail"]) == ("I cannot", "refusal")


async def test_a_branch_over_the_deadline_is_cancelled_undone_and_never_gone_on_with(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs, hung: threading.Event
) -> None:
    def hang(request: dict[str, Any]) -> dict[str, Any]:
        hung.wait(30)
        return text("too late")

    fast, slow = [text("fast")], [calls(STOCK), hang]
    parallel = await fan(make_agent, runs, {"fast": fast, "slow": slow}, deadline=4.0)
    run = await parallel.run("go", run_id="r")
    assert (run.outcome, statuses(run)) == ("end_turn", {"fast": "success", "slow": "timeout"})
    assert gateway.marks() == [("r/slow", "rollback"), ("r/fast", "finished")]
    slow_part = await runs.find("r/slow")
    assert slow_part is not None and (slow_part.outcome, len(slow_part.calls())) == ("dropped", 1)
    assert (await parallel.run("go", run_id="r")).text == run.text


async def test_too_few_successes_fail_the_whole_and_all_is_undone(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    scripts: dict[str, list[Turn]] = {"a": [calls(STOCK), text("ok")], "b": [text("no", "refusal")]}
    run = await (await fan(make_agent, runs, scripts, min_required_successes=2)).run("go", run_id="r")
    assert (run.outcome, run.detail) == ("failed", "1 of 2 branches succeeded, 2 have to")
    assert [mark for mark in gateway.marks() if mark[0] == "r/a"] == [("r/a", "rollback")]


@pytest.mark.parametrize(("required", "outcome"), [(1, "end_turn"), (2, "waiting")])
async def test_a_branch_that_waits_is_waited_for_only_where_it_is_needed(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs, required: int, outcome: str
) -> None:
    gateway.answer("payment__refund_card", PENDING)
    scripts: dict[str, list[Turn]] = {"a": [text("ok")], "b": [calls(REFUND), text("refunded")]}
    parallel = await fan(make_agent, runs, scripts, min_required_successes=required)
    run = await parallel.run("go", run_id="r")
    assert run.outcome == outcome
    if outcome == "end_turn":
        assert statuses(run) == {"a": "success", "b": "waiting"}
        assert ("r/b", "rollback") in gateway.marks(), "what is not waited for is not left open"
    else:
        assert gateway.marks() == []
        gateway.instead.clear()
        run = await parallel.run("go", run_id="r")
        assert (run.outcome, statuses(run)) == ("end_turn", {"a": "success", "b": "success"})
        assert {call.meta["toolgate/key"] for call in gateway.calls} == {"r/b/toolu_1"}


async def test_a_branch_whose_model_is_away_can_be_gone_on_with(make_agent: MakeAgent, runs: Runs) -> None:
    def broken(request: dict[str, Any]) -> dict[str, Any]:
        raise ApiError(400, "invalid_request_error", "overloaded")

    parallel = await fan(make_agent, runs, {"a": [text("ok")], "b": [broken, text("ok")]}, min_required_successes=2)
    assert (await parallel.run("go", run_id="r")).outcome == "model_error"
    run = await parallel.run("go", run_id="r")
    assert (run.outcome, run.turns) == ("end_turn", 2)


async def test_branches_are_merged_by_a_function_or_by_an_agent(make_agent: MakeAgent, runs: Runs) -> None:
    def joined(branches: list[Branch]) -> str:
        return " and ".join(branch.text for branch in branches)

    both: dict[str, list[Turn]] = {"a": [text("one")], "b": [text("two")]}
    parallel = await fan(make_agent, runs, both, merge=joined, brief=lambda name, task: f"{task} {name}")
    run = await parallel.run("count", run_id="r")
    assert (run.text, [part.task for part in run.parts]) == ("one and two", ["count a", "count b"])
    script = Turns([text("three")])
    parallel = await fan(make_agent, runs, both, merge=await make_agent(script, name="merger"))
    run = await parallel.run("count", run_id="r2")
    told = json.loads(script.requests[0]["messages"][0]["content"][0]["text"])
    assert (run.text, told["task"], [each["text"] for each in told["branches"]]) == ("three", "count", ["one", "two"])


async def test_agents_that_keep_their_runs_elsewhere_are_an_error(make_agent: MakeAgent) -> None:
    agent = await make_agent(Turns([]), name="a")
    parallel = Parallel(name="fan", job="Tests.", branches={"a": agent}, deadline=1.0)
    with pytest.raises(ValueError, match="give all of them the same `runs`"):
        await parallel.run("go")
