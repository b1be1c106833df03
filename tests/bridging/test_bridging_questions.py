"""What an upstream asks the client reaches it, whatever eras they speak; what cannot is refused by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mcp.types as t
import pytest
from bridging_clients import Answers, Era, call, connected, refusal, text, until
from mcp import InputRequiredRoundsExceededError, MCPError
from wire import envelope, messages, wired
from workbench import ASK_TIMEOUT, KINDS, Bench, open_bench

pytestmark = [
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
each_era = pytest.mark.parametrize("era", ["legacy", "modern"])
each_upstream = pytest.mark.parametrize("upstream", KINDS)

THOUGHT = {"type": "text", "text": "Thought."}
ANSWERS = [
    ("ask", "accept", {"action": "accept", "content": {"ok": True}}, "Sure?"),
    ("ask", "decline", {"action": "decline"}, "Sure?"),
    ("ask", "cancel", {"action": "cancel"}, "Sure?"),
    ("ask_url", "accept", {"action": "accept", "content": {"ok": True}}, "Sign here."),
    (
        "sample",
        "accept",
        {"content": {"type": "text", "text": "Thought."}, "model": "m", "role": "assistant"},
        "sample",
    ),
    ("roots", "accept", {"roots": [{"uri": "file:///srv/ada", "name": "ada"}]}, "roots"),
]
MISSING = [
    ("ask", "sampling", "elicitation/create"),
    ("sample", "elicitation", "sampling/createMessage"),
    ("roots", "elicitation", "roots/list"),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One of its own, whose process has worked for nobody but ada: else it could ask nobody."""
    with open_bench(tmp_path_factory.mktemp("questions")) as opened:
        yield opened


@each_era
@each_upstream
@pytest.mark.parametrize(("tool", "action", "answer", "asked"), ANSWERS)
async def test_a_question_is_asked_once_and_its_answer_reaches_the_tool(
    bench: Bench, era: Era, upstream: str, tool: str, action: Any, answer: dict[str, Any], asked: str, tag: str
) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era, Answers(action)) as (client, heard):
        assert json.loads(text(await client.call_tool(tool, {"tag": tag}))) == answer
        assert heard.asked == [asked]
    events = bench.record(upstream).events(tool, tag)
    assert [event["answer"] for event in events if event["what"] == "answered"] == [answer]
    assert all(event["state_kept"] for event in events if event["what"] == "came back")


@each_era
@each_upstream
@pytest.mark.parametrize(("tool", "can", "missing"), MISSING)
async def test_a_question_the_client_cannot_be_asked_is_refused_by_name(
    bench: Bench, era: Era, upstream: str, tool: str, can: str, missing: str, tag: str
) -> None:
    answers = Answers(can=frozenset({can}))
    async with connected(bench.url(upstream), bench.headers("ada"), era, answers) as (client, heard):
        refused = await call(client, tool, {"tag": tag})
        assert refusal(refused)["reason"] == "unbridgeable" and missing in text(refused)
        assert heard.asked == []
        assert text(await call(client, "pay", {"amount": 1})) == "Paid 1."
    if upstream != "modern":
        (told,) = bench.record(upstream).events(tool, tag, "not answered")
        assert missing in told["message"]


@each_era
@each_upstream
async def test_progress_after_a_question_still_reaches_the_caller(bench: Bench, era: Era, upstream: str) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era, Answers()) as (client, heard):
        await client.call_tool("report", {"ask": True}, progress_callback=heard.on_progress)
        await until(lambda: len(heard.progress) == 5)
    assert [step for step, _, _ in heard.progress] == [1, 2, 3, 4, 5]


@each_era
async def test_an_upstream_that_never_stops_asking_is_given_up(bench: Bench, era: Era, tag: str) -> None:
    """The modern era asks in rounds: the gateway counts them for legacy clients, modern clients do so themselves."""
    answers = Answers(can=frozenset({"roots"}))
    async with connected(bench.url("modern"), bench.headers("ada"), era, answers) as (client, _):
        if era == "legacy":
            refused = await call(client, "ask_forever", {"tag": tag})
            assert refusal(refused)["reason"] == "unbridgeable" and "10 times" in text(refused)
        else:
            with pytest.raises(InputRequiredRoundsExceededError):
                await client.call_tool("ask_forever", {"tag": tag})
        assert text(await call(client, "pay", {"amount": 1})) == "Paid 1."


@each_era
async def test_an_upstream_that_asks_for_nothing_is_sent_one_request_only(bench: Bench, era: Era, tag: str) -> None:
    async with connected(bench.url("modern"), bench.headers("ada"), era, Answers()) as (client, heard):
        refused = await call(client, "ask_nothing", {"tag": tag})
        assert refusal(refused)["reason"] == "upstream_garbled" and heard.asked == []
    assert len(bench.record("modern").events("ask_nothing", tag)) == 1


async def test_a_question_cannot_carry_what_only_the_gateway_says(bench: Bench) -> None:
    async with wired(bench.url("modern"), bench.headers("ada")) as wire:
        _, _, asked = await wire.ask("tools/call", {"name": "ask_forged", "_meta": envelope({"roots": {}})})
    assert asked["result"]["resultType"] == "input_required" and "q" in asked["result"]["inputRequests"]
    assert asked["result"]["_meta"]["vendor.example/mine"] == 1
    assert not [key for key in asked["result"]["_meta"] if key.startswith("toolgate/")]


@pytest.mark.parametrize("upstream", ["legacy", "stdio"])
async def test_a_client_that_is_asked_for_ever_can_leave(bench: Bench, upstream: str, tag: str) -> None:
    record, answers = bench.record(upstream), Answers(can=frozenset({"roots"}))
    async with connected(bench.url(upstream), bench.headers("ada"), "legacy", answers) as (client, heard):
        asked = asyncio.create_task(call(client, "ask_forever", {"tag": tag}))
        await until(lambda: len(heard.asked) > 3)
        asked.cancel()
        await until(lambda: record.events("ask_forever", tag, "cancelled"))


async def begin(client: Any, tool: str, tag: str) -> t.InputRequiredResult:
    """The question of a tool, which nobody has answered yet."""
    asked = await client.session.call_tool(tool, {"tag": tag}, allow_input_required=True)
    assert isinstance(asked, t.InputRequiredResult)
    return asked


async def go_on(client: Any, tool: str, tag: str, asked: t.InputRequiredResult) -> Any:
    answers = {name: t.ElicitResult(action="accept", content={"ok": True}) for name in asked.input_requests or {}}
    return await client.session.call_tool(
        tool, {"tag": tag}, input_responses=answers, request_state=asked.request_state, allow_input_required=True
    )


@each_upstream
async def test_the_state_of_one_agents_call_is_of_no_use_to_another(bench: Bench, upstream: str, tag: str) -> None:
    async with (
        connected(bench.url(upstream), bench.headers("ada"), "modern", Answers()) as (ada, _),
        connected(bench.url(upstream), bench.headers("bob"), "modern", Answers()) as (bob, _),
    ):
        asked = await begin(ada, "ask", tag)
        for thief, tool, of in ((bob, "ask", tag), (ada, "ask", "another call"), (ada, "ask_url", tag)):
            with pytest.raises(MCPError, match="Invalid or expired requestState") as refused:
                await go_on(thief, tool, of, asked)
            assert refused.value.error.code == -32602
        made_up = asked.model_copy(update={"request_state": "parked.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await go_on(bob, "ask", tag, made_up)
        assert json.loads(text(await go_on(ada, "ask", tag, asked))) == {"action": "accept", "content": {"ok": True}}
    assert len(bench.record(upstream).events("ask", tag, "answered")) == 1


async def test_questions_of_two_agents_at_once_are_kept_apart(bench: Bench, tag: str) -> None:
    async with (
        connected(bench.url("legacy"), bench.headers("ada"), "modern", Answers()) as (ada, _),
        connected(bench.url("legacy"), bench.headers("bob"), "modern", Answers()) as (bob, _),
    ):
        of_ada, of_bob = await asyncio.gather(begin(ada, "ask", tag), begin(bob, "ask", tag))
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await go_on(bob, "ask", tag, of_ada)
        for client, asked in ((bob, of_bob), (ada, of_ada)):
            assert not (await go_on(client, "ask", tag, asked)).is_error


async def nothing_runs(bench: Bench) -> None:
    """Wait until the gateway itself says that no call is left."""
    await until(lambda: "toolgate_calls_in_flight 0.0" in bench.metrics())


@pytest.mark.parametrize("upstream", ["legacy", "stdio"])
async def test_a_parked_call_whose_client_never_returns_ends_and_leaves_nothing(
    bench: Bench, upstream: str, tag: str
) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), "modern", Answers()) as (client, _):
        asked = await begin(client, "ask", tag)
        record = bench.record(upstream)
        await until(lambda: record.events("ask", tag, "not answered"), ASK_TIMEOUT + 3)
        (told,) = record.events("ask", tag, "not answered")
        assert "did not answer" in told["message"]
        await nothing_runs(bench)
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await go_on(client, "ask", tag, asked)


async def test_a_parked_call_is_not_cut_off_by_the_time_it_waited_for_its_client(bench: Bench, tag: str) -> None:
    async with connected(bench.url("patient"), bench.headers("ada"), "modern", Answers()) as (client, _):
        asked = await begin(client, "ask", tag)
        await asyncio.sleep(0.6)  # longer than the time-out of this server
        assert not (await go_on(client, "ask", tag, asked)).is_error


@each_upstream
async def test_a_client_of_forms_is_not_sent_to_a_url(bench: Bench, upstream: str) -> None:
    forms = {"_meta": envelope({"elicitation": {}})}  # that means forms, in either era
    async with wired(bench.url(upstream), bench.headers("ada")) as wire:
        _, _, refused = await wire.ask("tools/call", {"name": "ask_url", **forms})
        assert refusal(refused["result"])["reason"] == "unbridgeable" and "by URL" in text(refused["result"])
        _, _, asked = await wire.ask("tools/call", {"name": "ask", **forms})
        assert asked["result"]["resultType"] == "input_required"


@pytest.mark.parametrize("upstream", ["legacy", "modern"])
async def test_an_answer_that_is_none_is_the_clients_fault_not_the_gateways(bench: Bench, upstream: str) -> None:
    async with wired(bench.url(upstream), bench.headers("ada")) as wire:
        session = await wire.initialize({"elicitation": {}})
        ask = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "ask", "arguments": {}}}
        told: list[dict[str, Any]] = []
        async with wire.session.post(wire.url, json=ask, headers=session) as response:
            async for line in response.content:
                for message in messages(line.decode()):
                    told.append(message)
                    if message.get("method") == "elicitation/create":
                        answer = {"jsonrpc": "2.0", "id": message["id"], "result": {"action": "shrug"}}
                        assert (await wire.send("POST", answer, session))[0] == 202
    refused = refusal(told[-1]["result"])
    assert refused["reason"] in ("unbridgeable", "upstream_error")


async def test_a_process_that_cannot_say_which_call_asks_gets_no_answer(tmp_path: Path, tag: str) -> None:
    """Over stdio a question does not tell the call it belongs to: with two in flight, nobody can be asked safely."""
    with open_bench(tmp_path) as bench:
        async with (
            connected(bench.url("stdio"), bench.headers("ada"), "modern", Answers()) as (ada, _),
            connected(bench.url("stdio"), bench.headers("bob"), "modern", Answers()) as (bob, heard),
        ):
            asked = await begin(ada, "ask", tag)
            refused = await call(bob, "ask", {"tag": "bob's"})
            assert refusal(refused)["reason"] == "upstream_error" and heard.asked == []
            assert not (await go_on(ada, "ask", tag, asked)).is_error
