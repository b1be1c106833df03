"""The loop against a real MCP server and a scripted model behind the real SDK."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fake_gateway import FakeGateway
from scripted_turns import STOCK, MakeAgent, Turns, calls, text, use

from agents.marking import bare
from agents.run import Limits
from agents.runs import Event, Runs
from agents.scripted.server import ApiError


def said(result: dict[str, Any]) -> str:
    """The text of a tool_result, without the marks that say that it is data."""
    return bare(result["content"][0]["text"])


ENDINGS = {
    "end_turn": "end_turn",
    "stop_sequence": "stop_sequence",
    "max_tokens": "max_tokens",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_full",
    "brand_new_reason": "brand_new_reason",
}


@pytest.mark.parametrize(("stop", "outcome"), ENDINGS.items())
async def test_every_stop_reason_that_ends_a_turn_ends_the_run_by_name(
    make_agent: MakeAgent, stop: str, outcome: str
) -> None:
    agent = await make_agent(Turns([text("as far as I got", stop)]))
    run = await agent.run("go", run_id="r1")
    assert (run.outcome, run.text, run.turns) == (outcome, "as far as I got", 1)


async def test_a_refusal_says_why(make_agent: MakeAgent) -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "not this"}
    agent = await make_agent(Turns([text("", "refusal", stop_details=details)]))
    assert (await agent.run("go", run_id="r1")).detail == "not this"


async def test_a_paused_turn_is_sent_back_as_it_is(make_agent: MakeAgent) -> None:
    script = Turns([text("thinking", "pause_turn"), text("done")])
    run = await (await make_agent(script)).run("go", run_id="r1")
    assert run.outcome == "end_turn"
    assert [message["role"] for message in script.requests[1]["messages"]] == ["user", "assistant"]


async def test_a_tool_is_called_with_run_and_key_and_the_agents_token(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    script = Turns([calls(STOCK), text("10 left")])
    run = await (await make_agent(script)).run("go", run_id="r1")
    (call,) = gateway.calls
    assert (call.tool, call.arguments, call.token) == ("inventory__check_stock", {"sku": "LAMP-01"}, "tok-tester")
    assert call.meta["toolgate/run"] == "r1"
    assert call.meta["toolgate/key"] == "r1/toolu_1"
    result = script.requests[1]["messages"][-1]["content"][0]
    assert (result["tool_use_id"], json.loads(said(result))["available"]) == ("toolu_1", 10)
    assert "is_error" not in result
    assert run.outcome == "end_turn"


async def test_parallel_calls_run_at_once_and_come_back_in_one_message_in_order(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    skus = ["LAMP-01", "DESK-02", "MUG-04"]
    arrived: list[str] = []
    all_here = asyncio.Event()

    async def meet(arguments: dict[str, str]) -> dict[str, object]:
        arrived.append(arguments["sku"])
        if len(arrived) == len(skus):
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 5)
        return {"content": [{"type": "text", "text": json.dumps(arguments)}], "structuredContent": arguments}

    gateway.instead["inventory__check_stock"] = meet
    uses = [use(number, "inventory__check_stock", {"sku": sku}) for number, sku in enumerate(skus)]
    script = Turns([{"content": [{"type": "text", "text": "I look."}, *uses], "stop_reason": "tool_use"}, text("ok")])
    await (await make_agent(script)).run("go", run_id="r1")
    message = script.requests[1]["messages"][-1]
    assert message["role"] == "user"
    assert [block["type"] for block in message["content"]] == ["tool_result"] * 3
    assert [json.loads(said(block))["sku"] for block in message["content"]] == skus
    assert sorted(arrived) == sorted(skus)
    assert not any(block.get("is_error") for block in message["content"])


async def test_tools_are_offered_sorted_and_the_prompt_is_cached(make_agent: MakeAgent) -> None:
    script = Turns([text("ok")])
    await (await make_agent(script)).run("go", run_id="r1")
    names = [tool["name"] for tool in script.requests[0]["tools"]]
    assert names == sorted(names)
    assert "payment__charge_card" in names
    assert script.requests[0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", "model_context_window_exceeded", "brand_new_reason"])
async def test_a_call_in_a_turn_that_was_cut_off_is_never_made(
    make_agent: MakeAgent, gateway: FakeGateway, stop: str
) -> None:
    cut = {"content": [{"type": "text", "text": "I will check"}, STOCK], "stop_reason": stop}
    agent = await make_agent(Turns([cut, text("fresh")]))
    run = await agent.run("go", run_id="r1")
    assert (run.text, gateway.calls, run.unanswered()) == ("I will check", [], [])
    assert (await agent.say(run, "again")).outcome == "end_turn"


async def test_a_run_stops_after_max_turns(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    agent = await make_agent(lambda request: calls(STOCK), limits=Limits(max_turns=3))
    run = await agent.run("go", run_id="r1")
    assert (run.outcome, run.turns, len(gateway.calls)) == ("max_turns", 3, 3)


async def test_a_run_stops_when_its_tokens_are_used_up(make_agent: MakeAgent) -> None:
    usage = {"input_tokens": 500, "output_tokens": 100, "cache_read_input_tokens": 400}
    script = Turns([calls(STOCK, usage=usage), calls(STOCK, usage=usage)])
    run = await (await make_agent(script, limits=Limits(tokens=1500))).run("go", run_id="r1")
    assert (run.outcome, run.tokens) == ("token_budget", 2000)
    assert [request["max_tokens"] for request in script.requests] == [1500, 500]


async def test_a_cost_limit_without_a_known_price_lets_nothing_run(make_agent: MakeAgent) -> None:
    script = Turns([])
    run = await (await make_agent(script, limits=Limits(cost=1.0))).run("go", run_id="r1")
    assert (run.outcome, run.turns, script.requests) == ("cost_limit", 0, [])


async def test_errors_of_tools_become_error_results(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    gateway.instead["inventory__check_stock"] = lambda arguments: {"content": "not a result"}
    script = Turns(
        [
            calls(
                use(1, "catalog__lookup_product", {"sku": "NOPE"}),
                use(2, "catalog__lookup_product", {"wrong": 1}),
                use(3, "no__such_tool", {}),
                use(4, "inventory__check_stock", {"sku": "LAMP-01"}),
            ),
            text("sorry"),
        ]
    )
    run = await (await make_agent(script)).run("go", run_id="r1")
    results = script.requests[1]["messages"][-1]["content"]
    assert [result["is_error"] for result in results] == [True] * 4
    assert "no product NOPE" in results[0]["content"][0]["text"]
    assert all(result["content"][0]["text"] for result in results)
    assert run.outcome == "end_turn"


async def test_a_refusal_of_the_gateway_is_read_by_the_model(
    make_agent: MakeAgent, gateway: FakeGateway, events: list[Event]
) -> None:
    gateway.refuse("payment__charge_card", "Policy does not allow this. Ask a human.")
    script = Turns([calls(use(1, "payment__charge_card", {"amount": 1})), text("refused")])
    await (await make_agent(script)).run("go", run_id="r1")
    (result,) = script.requests[1]["messages"][-1]["content"]
    assert (result["is_error"], said(result)) == (True, "Policy does not allow this. Ask a human.")
    (seen,) = [event for event in events if event.kind == "result"]
    assert seen.data["refusal"]["reason"] == "denied"


async def test_a_pending_call_parks_the_run_and_resuming_makes_only_that_call(
    make_agent: MakeAgent, gateway: FakeGateway, runs: Runs
) -> None:
    pending = {"content": [{"type": "text", "text": "NOT EXECUTED"}], "_meta": {"toolgate/pending": "T1"}}
    gateway.answer("payment__refund_card", pending)
    refund = use(2, "payment__refund_card", {"charge_id": "chg_1", "amount": 5, "reason": "late"})
    script = Turns([calls(STOCK, refund), text("refunded")])
    agent = await make_agent(script)
    run = await agent.run("go", run_id="r1")
    assert (run.outcome, run.waiting) == ("waiting", {"toolu_2": "T1"})
    with pytest.raises(ValueError, match="unanswered"):
        await agent.say(run, "hello?")

    restored = await runs.find("r1")
    assert restored == run
    gateway.instead.clear()
    gateway.calls.clear()
    run = await agent.resume(restored)
    assert (run.outcome, gateway.tools(), len(script.requests)) == ("end_turn", ["payment__refund_card"], 2)
    assert gateway.calls[0].meta["toolgate/key"] == "r1/toolu_2"
    results = script.requests[1]["messages"][-1]["content"]
    assert [result["tool_use_id"] for result in results] == ["toolu_1", "toolu_2"]


async def test_what_is_not_text_reaches_the_model_as_image_or_as_a_line(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    content = [
        {"type": "text", "text": "four things"},
        {"type": "image", "data": "aGk=", "mimeType": "image/png"},
        {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
        {"type": "resource_link", "uri": "file:///a.txt", "name": "a"},
        {"type": "resource", "resource": {"uri": "file:///b.bin", "blob": "aGk=", "mimeType": "app/b"}},
        {"type": "resource", "resource": {"uri": "file:///c.txt", "text": "inside"}},
    ]
    gateway.answer("inventory__check_stock", {"content": content, "structuredContent": {"result": {}}})
    script = Turns([calls(STOCK), text("ok")])
    await (await make_agent(script)).run("go", run_id="r1")
    text_block, image, *lines = script.requests[1]["messages"][-1]["content"][0]["content"]
    assert bare(text_block["text"]) == "four things"
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert [bare(line["text"]) for line in lines] == [
        "[audio: audio/wav, not shown]",
        "[resource link: a, file:///a.txt]",
        "[resource file:///b.bin: app/b, not shown]",
        "[resource file:///c.txt]\ninside",
    ]


async def test_a_content_block_of_an_unknown_type_is_kept_and_not_read(make_agent: MakeAgent) -> None:
    odd = {"content": [{"type": "brand_new", "payload": 1}, {"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
    run = await (await make_agent(Turns([odd]))).run("go", run_id="r1")
    assert (run.outcome, run.text) == ("end_turn", "hi")
    assert run.messages[-1]["content"][0]["payload"] == 1


async def test_an_answer_that_is_no_message_ends_the_run(make_agent: MakeAgent) -> None:
    run = await (await make_agent(lambda request: {"content": None, "stop_reason": "end_turn"})).run("go", run_id="r1")
    assert (run.outcome, run.detail) == ("model_error", "the answer is not a message of the Messages API")


async def test_an_answer_that_breaks_off_can_be_asked_for_again(make_agent: MakeAgent) -> None:
    agent = await make_agent(Turns([text("I was about to", None), text("done")]))
    run = await agent.run("go", run_id="r1")
    assert (run.outcome, run.detail, run.turns) == ("model_error", "the model's answer broke off", 0)
    run = await agent.run("go", run_id="r1")
    assert (run.outcome, run.text, run.turns) == ("end_turn", "done", 1)


async def test_a_failing_model_ends_the_run_and_keeps_what_was_done(make_agent: MakeAgent) -> None:
    def broken(request: dict[str, object]) -> dict[str, object]:
        raise ApiError(400, "invalid_request_error", "prompt is too long")

    run = await (await make_agent(Turns([calls(STOCK), broken]))).run("go", run_id="r1")
    assert (run.outcome, run.turns, len(run.calls())) == ("model_error", 1, 1)
    assert run.detail == "prompt is too long"


@pytest.mark.parametrize(
    ("gateway_url", "token", "said"),
    [("http://127.0.0.1:9/mcp", "tok-a", "not there"), (None, "stale", "refuses this agent's token")],
)
async def test_a_gateway_that_is_away_or_refuses_the_token_ends_the_run(
    make_agent: MakeAgent, gateway: FakeGateway, gateway_url: str | None, token: str, said: str
) -> None:
    agent = await make_agent(Turns([]), gateway=gateway_url or gateway.url, token=token)
    run = await agent.run("go", run_id="r1")
    assert run.outcome == "gateway_error"
    assert said in run.detail


async def test_an_answer_that_breaks_off_fails_its_call_and_the_others_go_on(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    gateway.breaks = "inventory__check_stock"
    lookup = use(2, "catalog__lookup_product", {"sku": "LAMP-01"})
    script = Turns([calls(STOCK, lookup), calls(use(3, lookup["name"], lookup["input"])), text("ok")])
    run = await (await make_agent(script)).run("go", run_id="r1")
    (_, broken), *others = run.calls()
    assert broken["is_error"]
    assert "Whether the tool ran is not known" in broken["content"][0]["text"]
    assert (run.outcome, [result.get("is_error") for _, result in others]) == ("end_turn", [None, None])


async def test_every_answer_and_result_goes_through_the_hook_before_the_run_goes_on(
    make_agent: MakeAgent, events: list[Event]
) -> None:
    await (await make_agent(Turns([calls(STOCK), text("ok")]))).run("go", run_id="r1")
    assert [event.kind for event in events] == ["started", "answer", "call", "result", "answer", "finished"]
    assert all(json.dumps(event.data) for event in events)
