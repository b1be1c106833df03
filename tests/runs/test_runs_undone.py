"""Runs that fail are undone at the tools themselves: in reverse, once, and what cannot be undone stands as a ticket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from deeds import DOING, Workshop
from gateway_process import GatewayProcess
from raw_client import eventually
from runs_parts import OWN, Agent, agents, beside, decide, found, gateway, in_state, policy, settle, standing

GATED = OWN + "".join(f'[[allow]]\ntool = "works/{name}"\n' for name in DOING) + 'gate = { type = "approval" }\n'
"""Of what can be done, the last needs consent."""


@pytest.fixture(scope="module")
def serving(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    policies = {**policy("worker", GATED), **policy("other"), **policy("bounded", head="run = { calls = 2 }")}
    with gateway(tmp_path_factory.mktemp("gateway"), workshop, policies, extra="timeout = 0.6") as gateway_:
        yield gateway_


async def test_a_rollback_undoes_in_reverse_and_tells_what_it_undid(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("back", "a", "b")
        await worker.do("back", "c", tool="put")
        told = await worker.rollback("back")
        assert workshop.deeds("back")[3:] == [("take", "back.c"), ("undo", "back.b"), ("undo", "back.a")]
        assert told["state"] == "rolled_back" and told["waiting"] == told["left"] == []
        assert [step["tool"] for step in told["undone"]] == ["put", "do", "do"]
        again = await worker.rollback("back")
        assert again == told
        assert len(workshop.deeds("back")) == 6


async def test_a_run_is_over_once_it_is_undone_or_finished(serving: GatewayProcess, workshop: Workshop) -> None:
    async with agents(serving, "worker") as (worker,):
        for run, tool in (("over-1", "rollback"), ("over-2", "mark_run")):
            await worker.do(run, "a")
            assert (await worker.call(run, f"toolgate__{tool}", {"state": "finished"} if tool == "mark_run" else {})).ok
            for name in ("do", "note"):
                assert (await worker.call(run, name, {"name": f"{run}.late"})).reason == "run_closed"
            assert (await worker.call(run, "look", {"name": f"{run}.seen"})).ok
        assert (await worker.call("over-2", "toolgate__rollback", {})).reason == "run_closed"
        assert (await worker.call("over-1", "toolgate__mark_run", {"state": "finished"})).reason == "run_closed"
        assert workshop.deeds("over-2") == [("do", "over-2.a"), ("look", "over-2.seen")]


async def test_how_a_run_ended_can_be_said_again_and_not_otherwise(serving: GatewayProcess, workshop: Workshop) -> None:
    async with agents(serving, "worker") as (worker,):
        for run, said, other in (("said-1", "finished", "failed"), ("said-2", "failed", "finished")):
            await worker.do(run, "a")
            for _ in range(2):
                reply = await worker.call(run, "toolgate__mark_run", {"state": said})
                assert (reply.ok, reply.result["structuredContent"]) == (True, {"run": run, "state": said})
            for wrong in (other, "active"):
                assert (await worker.call(run, "toolgate__mark_run", {"state": wrong})).reason == "run_closed"
        await in_state(serving, "said-2", "rolled_back")
        assert (await worker.call("said-2", "toolgate__mark_run", {"state": "failed"})).ok
        assert workshop.deeds("said-1") == [("do", "said-1.a")]
        assert workshop.deeds("said-2") == [("do", "said-2.a"), ("undo", "said-2.a")]


async def test_a_key_whose_call_was_undone_does_not_say_that_it_stands(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("keyed", "a", key="keyed-1")
        await worker.do("keyed", "a", key="keyed-1")
        await worker.rollback("keyed")
        for run in ("keyed", "keyed-again"):
            assert (await worker.call(run, "do", {"name": "keyed.a"}, key="keyed-1")).reason == "run_closed"
        assert workshop.deeds("keyed") == [("do", "keyed.a"), ("undo", "keyed.a")]


async def test_an_agent_touches_no_run_of_another(serving: GatewayProcess, workshop: Workshop) -> None:
    async with agents(serving, "worker", "other") as (worker, other):
        await worker.do("mine", "a")
        foreign, absent = await other.rollback("mine"), await other.rollback("nowhere")
        assert {**foreign, "run": ""} == {**absent, "run": ""}
        assert found(serving, "mine").state == "active"
        assert workshop.deeds("mine") == [("do", "mine.a")]
        await worker.do("mine", "b")


async def test_what_fails_is_tried_again_before_what_was_done_earlier(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("again", "a", "b!3", "c")
        await worker.rollback("again")
        assert workshop.deeds("again")[3:] == [("undo", "again.c"), ("undo", "again.b!3"), ("undo", "again.a")]


async def test_a_step_that_lacks_what_it_needs_stands_as_a_ticket_and_the_others_go_on(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("lacks", "a")
        await worker.do("lacks", "b", tool="wish")
        told = await worker.rollback("lacks")
        (ticket,) = standing(serving, "lacks")
        assert workshop.deeds("lacks")[2:] == [("undo", "lacks.a")]
        assert (ticket.kind, ticket.tool, ticket.agent) == ("undo", "unwish", "worker")
        assert [step["ticket"] for step in told["waiting"]] == [ticket.id]
        decide(serving, ticket.id, "reject")
        await eventually(lambda: found(serving, "lacks").steps == {"undone": 1, "settled": 1}, 5)


async def test_an_undoing_of_unknown_outcome_is_sent_again_only_when_people_say_so(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("doubt", "a", "b&")
        told = await worker.rollback("doubt")
        assert [step["tool"] for step in told["waiting"]] == ["do"]
        assert workshop.deeds("doubt")[2:] == [("undo", "doubt.b&"), ("undo", "doubt.a")]
        decide(serving, standing(serving, "doubt")[0].id, "approve")
        await eventually(lambda: found(serving, "doubt").steps == {"undone": 2}, 5)
        assert (await in_state(serving, "doubt", "rolled_back")).why == "approved"
        assert workshop.deeds("doubt")[4:] == [("undo", "doubt.b&")]


async def test_an_idempotent_undoing_of_unknown_outcome_is_simply_made_again(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("twice", "a&", tool="put")
        assert (await worker.rollback("twice"))["waiting"] == []
        assert workshop.deeds("twice")[1:] == [("take", "twice.a&")] * 2


async def test_a_call_of_unknown_outcome_is_undone_once_a_person_says_that_it_happened(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("unsure", "a")
        for name in ("b?", "c?"):
            reply = await worker.call("unsure", "put", {"name": f"unsure.{name}"})
            assert reply.reason == "deadline_exceeded"
        told = await worker.rollback("unsure")
        assert [step["tool"] for step in told["waiting"]] == ["put", "put"]
        with beside(serving) as state:
            calls = [each.call for each in state.ledger.unknown() if each.run == "unsure"]
        assert settle(serving, calls[0], "happened") and settle(serving, calls[1], "did_not")
        await eventually(lambda: found(serving, "unsure").steps == {"undone": 2}, 5)
        assert workshop.deeds("unsure")[3:] == [("undo", "unsure.a"), ("take", "unsure.b?")]


async def test_calls_under_way_are_undone_too_and_none_begins_meanwhile(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("busy", "a")
        slow = [
            asyncio.create_task(worker.call("busy", "do", {"name": f"busy.{name}", "delay": 0.4})) for name in "bcd"
        ]
        await eventually(lambda: len(workshop.deeds("busy")) == 4, 5)
        undoing = asyncio.create_task(worker.rollback("busy"))
        await in_state(serving, "busy", "rolling_back")
        assert (await worker.call("busy", "do", {"name": "busy.late"})).reason == "run_closed"
        assert all(reply.ok for reply in await asyncio.gather(*slow))
        assert len((await undoing)["undone"]) == 4
        did = workshop.deeds("busy")
        assert sorted(name for tool, name in did if tool == "undo") == [f"busy.{name}" for name in "abcd"]
        assert did[-1] == ("undo", "busy.a")


async def test_a_silent_run_is_undone_after_its_lease_and_one_that_is_finished_never(
    serving: GatewayProcess, workshop: Workshop
) -> None:
    async with agents(serving, "worker") as (worker,):
        for run in ("silent", "ended", "dropped"):
            await worker.do(run, "a", lease=0.3)
        assert (await worker.call("ended", "toolgate__mark_run", {"state": "finished"})).ok
        assert (await worker.call("dropped", "toolgate__mark_run", {"state": "active", "lease": 0})).ok
        assert (await in_state(serving, "silent", "rolled_back")).why == "lease"
        assert workshop.deeds("silent") == [("do", "silent.a"), ("undo", "silent.a")]
        assert (found(serving, "ended").state, found(serving, "dropped").state) == ("finished", "active")


async def test_a_pending_ticket_keeps_a_run_from_running_out(serving: GatewayProcess, workshop: Workshop) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("held", "a", lease=0.3)
        asked = asyncio.create_task(worker.call("held", "ask", {"name": "held.b"}, lease=0.3))
        await eventually(lambda: standing(serving, "held"), 5)
        await worker.do("control", "a", lease=0.3)
        await in_state(serving, "control", "rolled_back")
        assert found(serving, "held").state == "active"
        asked.cancel()
        decide(serving, standing(serving, "held")[0].id, "reject")
        await in_state(serving, "held", "rolled_back")
        assert workshop.deeds("held") == [("do", "held.a"), ("undo", "held.a")]


async def test_read_only_mode_pauses_the_undoing(serving: GatewayProcess, workshop: Workshop) -> None:
    async with agents(serving, "worker") as (worker,):
        await worker.do("paused", "a", "b!1", "c")
        with beside(serving) as state:
            assert state.modes.switch("worker", True, "op")
        await eventually(lambda: _read_only(worker), 5)
        undoing = asyncio.create_task(worker.rollback("paused"))
        await in_state(serving, "paused", "rolling_back")
        assert len(workshop.deeds("paused")) == 3
        with beside(serving) as state:
            assert state.modes.switch("worker", False, "op")
        assert (await undoing)["state"] == "rolled_back"
        assert len(workshop.deeds("paused")) == 6


async def _read_only(worker: Agent) -> bool:
    return (await worker.call(None, "note", {"name": "mode.tried"})).reason == "read_only"


async def test_a_run_that_is_bounded_says_what_is_used_up(serving: GatewayProcess) -> None:
    async with agents(serving, "bounded") as (bounded,):
        await bounded.do("few", "a", "b", tool="look")
        late = await bounded.call("few", "look", {"name": "few.c"})
        assert late.reason == "run_exhausted" and "2 of 2" in late.text
        await bounded.do("more", "a", tool="look")
