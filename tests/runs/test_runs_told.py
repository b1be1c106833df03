"""A run as a story: everything that happened in it, told from the log to somebody who never saw the gateway."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from deeds import Workshop
from gateway_process import GatewayProcess
from runs_parts import agents, beside, decide, gateway, in_state, settle, standing

from gateway.cli import main

POLICY = """\
agent = "worker"
description = "Does things."
[[allow]]
tool = "works/do"
limit = ["100/hour"]
[[allow]]
tool = "works/put"
budget = [{ sum = "delay", max = 10, per = "day" }]
[[allow]]
tool = "works/note"
gate = { type = "confidence", threshold = 0.9 }
[[allow]]
tool = "toolgate/*"
"""
SETTINGS = "[approvals]\nhold = 0.2\n"
RUN = "story 1/é<b>"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, workshop: Workshop) -> Iterator[GatewayProcess]:
    """A gateway that has seen the run, and one of the same name of another agent."""
    folder: Path = tmp_path_factory.mktemp("told")
    policies = {"worker.toml": POLICY, "other.toml": POLICY.replace("worker", "other")}
    with gateway(folder, workshop, policies, extra="timeout = 2\n", runs=SETTINGS) as running:
        anyio.run(_run, running)
        yield running


async def _run(running: GatewayProcess) -> None:
    async with agents(running, "worker", "other") as (worker, other):
        assert (await other.call(RUN, "do", {"name": "told.other"})).ok
        await other.call("doubtful", "do", {"name": "told.lost?"})
        assert (await worker.call(RUN, "do", {"name": "told.a"})).ok
        assert (await worker.call(RUN, "put", {"name": "told.b", "delay": 1})).ok
        sure = {"confidence": 0.25, "reason": "Because \u202eI say <script>so."}
        assert "NOT EXECUTED" in (await worker.call(RUN, "note", {"name": "told.c"}, **sure)).text
        (ticket,) = standing(running, RUN)
        decide(running, ticket.id, "approve")
        assert (await worker.call(RUN, "toolgate__await_approval", {"ticket": ticket.id})).ok
        assert (await worker.call(RUN, "wish", {"name": "told.d"})).reason == "not_found"
        await worker.call(RUN, "do", {"name": "told.e%"})
        await worker.rollback(RUN)
    await in_state(running, RUN, "rolled_back")


def show(running: GatewayProcess, *arguments: str, status: int = 0) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        assert main(["runs", "show", *arguments, "--config", str(running.config)]) == status
    return out.getvalue()


@pytest.fixture
def story(told: GatewayProcess) -> Any:
    return json.loads(show(told, RUN, "--agent", "worker", "--json"))


def entry(story: Any, tool: str, kind: str = "call") -> Any:
    return next(each for each in story["entries"] if (each["tool"], each["kind"]) == (tool, kind))


def test_each_thing_that_happened_is_told_in_order(story: Any) -> None:
    happened = [(each["kind"], each["tool"], each["outcome"]) for each in story["entries"]]
    assert happened[:3] == [("call", "do", "ok"), ("call", "put", "ok"), ("ticket", "note", "consumed")]
    rest = happened[3:]
    for one in (
        ("call", "note", "ok"),
        ("refusal", "wish", None),
        ("call", "do", "tool_error"),
        ("run", "", "rolling_back"),
        ("call", "take", "ok"),
        ("call", "undo", "ok"),
        ("run", "", "rolled_back"),
    ):
        assert one in rest
        rest = rest[rest.index(one) + 1 :] if one[1] != "take" else rest
    assert (story["state"], story["why"], story["whole"]) == ("rolled_back", "agent", True)
    assert story["counts"] | {"ok": 0} == {"ok": 0, "asked": 1, "refused": 1, "tool_error": 1, "undone": 2}


def test_it_says_who_why_and_what_it_took(story: Any) -> None:
    assert len(story["tokens"]) == 1
    put, note = entry(story, "put"), entry(story, "note")
    assert put["spent"] == [{"account": "budget/worker/works/put/delay/-/day", "amount": 1}]
    assert {each["account"]: each["amount"] for each in story["spent"]} == {
        "budget/worker/works/put/delay/-/day": 1,
        "limit/worker/works/do/hour": 2,  # a limit counts calls that ended with an error too
    }
    assert put["ms"] >= 900 and story["lasted"] >= 0.9
    asked = entry(story, "note", "ticket")
    assert (asked["confidence"], asked["gate"]) == (0.25, "confidence")
    (said,) = asked["decisions"]
    assert (said["reviewer"], said["verdict"], said["words"]) == ("rita", "approve", "seen")
    assert 0 < said["waited"] <= story["waited"] + 0.001
    assert note["ticket"] == asked["ticket"] and asked["by"] == note["call"]


def test_what_was_undone_names_what_undid_it(story: Any) -> None:
    done, undone = entry(story, "put"), entry(story, "take")
    assert (done["by"], undone["undoes"]) == (undone["call"], done["call"])


def test_people_can_read_it(told: GatewayProcess, story: Any) -> None:
    shown = show(told, RUN, "--agent", "worker")
    assert f"It was undone later, by call {entry(story, 'put')['by']}." in shown  # calls of one process begin alike
    for words in (
        "Run story 1/é<b> of agent worker (token ",
        "worker: had to ask people before it could call works/note",
        "rita approved it after",
        '"seen"',
        "Why, in the agent's words (25% sure):",
        "Refused, nothing ran: not found",
        "It took 1 of delay a day at works/put.",
        "Allowed by worker.toml:allow[0].",
        "The tool reported an error",
        "The run failed and is undone, the latest step first: so the agent said.",
    ):
        assert words in shown, shown
    assert "\u202e" not in shown and "Because" in shown


def test_a_run_is_its_agents_own(told: GatewayProcess) -> None:
    assert "several agents have a run" in show(told, RUN, status=1)
    other = json.loads(show(told, RUN, "--agent", "other", "--json"))
    assert [each["arguments"] for each in other["entries"]] == [{"name": "told.other"}]
    assert "the log has no run 'nothing'" in show(told, "nothing", status=1)
    assert "the log has no run" in show(told, RUN, "--agent", "nobody", status=1)


def test_what_nobody_knows_is_told_and_what_they_found_out(told: GatewayProcess) -> None:
    (lost,) = json.loads(show(told, "doubtful", "--json"))["entries"]
    assert (lost["outcome"], lost["reason"]) == ("unknown", "deadline_exceeded")
    assert lost["spent"] == [{"account": "limit/other/works/do/hour", "amount": 1}]
    assert settle(told, lost["call"], "did_not")
    shown = show(told, "doubtful")
    assert "Nobody knows whether it took effect" in shown and "rita found that it did not happen: looked" in shown
    assert "spent" not in json.loads(show(told, "doubtful", "--json"))["entries"][0]
    with beside(told) as state:
        assert state.ledger.unknown() == []
