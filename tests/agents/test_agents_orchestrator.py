"""An orchestrator: plans, the ledger, partial failure, planning again, waiting, and patterns within patterns."""

from __future__ import annotations

import json
from typing import Any

from fake_gateway import FakeGateway
from scripted_turns import STOCK, MakeAgent, Turns, answer, calls, text, use

from agents.agent import Runner
from agents.ledger import ledger_of
from agents.orchestrator import Orchestrator
from agents.parallel import Parallel
from agents.pipeline import Pipeline, Stage
from agents.run import Run
from agents.runs import Runs

PENDING = {"content": [{"type": "text", "text": "NOT EXECUTED"}], "_meta": {"toolgate/pending": "T1"}}
REFUND = use(1, "payment__refund_card", {"charge_id": "chg_1", "amount": 5, "reason": "late"})


def task(name: str, *needs: str, specialist: str = "") -> dict[str, Any]:
    return {"id": name, "specialist": specialist or name, "task": f"do {name}", "needs": list(needs)}


async def desk(
    make_agent: MakeAgent, runs: Runs, planner: Turns, specialists: dict[str, Turns | Runner], **more: Any
) -> Orchestrator:
    made = {
        name: await make_agent(each, name=name) if isinstance(each, Turns) else each
        for name, each in specialists.items()
    }
    plans = await make_agent(planner, name="planner", token=None)
    return Orchestrator(name="desk", job="Tests.", runs=runs, planner=plans, specialists=made, **more)


def states(run: Run) -> dict[str, str]:
    return {each.id: each.state for each in ledger_of(run)}


def asked(script: Turns, number: int) -> str:
    said: str = script.requests[number]["messages"][-1]["content"][0]["text"]
    return said


async def test_independent_tasks_run_at_once_and_others_wait_for_the_results_they_need(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    gateway.meet("inventory__check_stock", 2)
    meet = [calls(STOCK), text("found it")]
    planner = Turns([answer({"tasks": [task("a"), task("b"), task("c", "a", "b")]}), text("All is done.")])
    last = Turns([text("used both")])
    whole = await desk(make_agent, runs, planner, {"a": Turns(meet), "b": Turns(meet), "c": last})
    run = await whole.run("three things", run_id="r")
    assert (run.outcome, run.text) == ("end_turn", "All is done.")
    assert states(run) == dict.fromkeys("abc", "completed")
    assert not any(result.get("is_error") for part in run.agents for _, result in part.calls())
    assert '{"a": "found it", "b": "found it"}' in asked(last, 0)
    assert "used both" in asked(planner, 1), "the last words know the ledger"
    assert "tools" not in planner.requests[0]


async def test_a_plan_that_cannot_be_carried_out_goes_back_with_its_error(make_agent: MakeAgent, runs: Runs) -> None:
    wrong = [
        {"tasks": [task("a", specialist="nobody")]},
        {"tasks": [task("a", "b"), task("b")]},
        {"tasks": [task("A b")]},
    ]
    planner = Turns([*map(answer, wrong[:2]), answer({"tasks": [task("a")]}), text("ok")])
    run = await (await desk(make_agent, runs, planner, {"a": Turns([text("ok")])})).run("x", run_id="r")
    assert run.outcome == "end_turn"
    assert "there is no specialist 'nobody'" in asked(planner, 1)
    assert "a needs b, which are not tasks before it" in asked(planner, 2)
    planner = Turns([answer(each) for each in wrong])
    run = await (await desk(make_agent, runs, planner, {"a": Turns([])})).run("x", run_id="r2")
    assert run.outcome == "failed"
    assert "the plan cannot be carried out: $.tasks[0].id: 'A b' does not match" in run.detail


async def test_failures_are_undone_planned_around_once_and_told(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    planner = Turns(
        [
            answer({"tasks": [task("a"), task("b"), task("c", "b")]}),
            answer({"tasks": [task("d", specialist="b")]}),
            text("A is done, the rest is not."),
        ]
    )
    failing = Turns([calls(STOCK), text("no", "refusal"), text("no", "refusal")])
    whole = await desk(make_agent, runs, planner, {"a": Turns([text("ok")]), "b": failing, "c": Turns([])})
    run = await whole.run("x", run_id="r")
    assert (run.outcome, run.text) == ("end_turn", "A is done, the rest is not.")
    assert states(run) == {"a": "completed", "b": "failed", "c": "failed", "d": "failed"}
    assert {each.id: each.error for each in ledger_of(run)}["c"] == "it needs b"
    assert '"error": "refusal"' in asked(planner, 1) and '"error": "refusal"' in asked(planner, 2)
    assert gateway.marks() == [("r/task-b", "rollback"), ("r/task-d", "rollback"), ("r/task-a", "finished")]


async def test_a_task_that_waits_for_people_leaves_the_whole_waiting_and_nothing_is_done_twice(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    gateway.answer("payment__refund_card", PENDING)
    planner = Turns([answer({"tasks": [task("a"), task("b"), task("c", "b")]}), text("ok")])
    specialists: dict[str, Turns | Runner] = {
        "a": Turns([text("ok")]),
        "b": Turns([calls(REFUND), text("refunded")]),
        "c": Turns([text("told")]),
    }
    whole = await desk(make_agent, runs, planner, specialists)
    run = await whole.run("x", run_id="r")
    assert (run.outcome, states(run)) == ("waiting", {"a": "completed", "b": "waiting", "c": "pending"})
    gateway.instead.clear()
    run = await whole.run("x", run_id="r")
    assert (run.outcome, states(run)) == ("end_turn", dict.fromkeys("abc", "completed"))
    assert [call.meta["toolgate/key"] for call in gateway.calls] == ["r/task-b/toolu_1"] * 2
    assert len(planner.requests) == 2, "it was planned once"


async def test_patterns_nest_an_orchestrator_delegates_to_a_pipeline_whose_stage_fans_out(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    gateway.answer("payment__refund_card", PENDING)
    scripts = {"left": Turns([calls(STOCK), text("1")]), "right": Turns([calls(REFUND), text("2")])}
    branches = {name: await make_agent(script, name=name) for name, script in scripts.items()}
    fan = Parallel(
        name="fan",
        job="Adds.",
        runs=runs,
        branches=branches,
        deadline=60.0,
        merge=lambda found: json.dumps({"n": sum(int(branch.text) for branch in found)}),
    )
    last = await make_agent(Turns([answer({"n": 4})]), name="last")
    stages = [Stage(agent=each, brief=dict, schema=schema) for each in (fan, last)]
    line = Pipeline(name="line", job="Counts.", runs=runs, stages=stages)
    planner = Turns([answer({"tasks": [task("count", specialist="line")]}), text("It is 4.")])
    whole = await desk(make_agent, runs, planner, {"line": line})
    run = await whole.run("count", run_id="r")
    assert (run.outcome, "T1" in run.detail) == ("waiting", False)
    gateway.instead.clear()
    run = await whole.run("count", run_id="r")
    assert (run.outcome, run.text) == ("end_turn", "It is 4.")
    ids = [each.id for each in run.agents]
    assert ids == ["r/plan-1", "r/task-count/fan/left", "r/task-count/fan/right", "r/task-count/last", "r/summary"]
    assert ledger_of(run)[0].result == '{"fan": {"n": 3}, "last": {"n": 4}}'
    closed = [name for name, state in gateway.marks() if state == "finished"]
    assert closed == ["r/task-count/fan/left", "r/task-count/fan/right", "r/task-count/last"]
    assert [call.meta["toolgate/key"] for call in gateway.calls].count("r/task-count/fan/left/toolu_1") == 1
