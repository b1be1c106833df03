"""The scripted model: a Messages API that knows its part and refuses everything else."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import transform_schema
from fake_gateway import FakeGateway
from scripted_turns import MakeAgent, text, use

from agents.model import Model, open_model, open_scripted
from agents.order import ORDER, SCHEMAS, system
from agents.scripted import SCRIPTS
from agents.scripted.server import ApiError, serve

TOOL = {"name": "inventory__check_stock", "description": "", "input_schema": {"type": "object"}}
TASK = {"order_id": "o", "items": [{"sku": "LAMP-01", "quantity": 1}]}


async def ask(model: Model, **request: Any) -> anthropic.types.Message:
    given = {
        "messages": [{"role": "user", "content": json.dumps(TASK)}],
        "system": system("inventory"),
        "tools": [TOOL],
    }
    return await model.client.messages.create(model=model.name, max_tokens=100, **(given | request))


@pytest.fixture
async def model() -> Any:
    async with open_scripted("scripted:order", SCRIPTS["order"]) as model:
        yield model


async def test_a_turn_is_decided_from_the_conversation_alone(model: Model) -> None:
    first = await ask(model)
    assert (first.stop_reason, first.content[0].type) == ("tool_use", "tool_use")
    assert first.usage.input_tokens > 50
    result = {"type": "tool_result", "tool_use_id": "toolu_0001", "content": '{"available": 0, "sku": "LAMP-01"}'}
    said = [
        {"role": "user", "content": json.dumps(TASK)},
        {"role": "assistant", "content": first.to_dict()["content"]},
        {"role": "user", "content": [result]},
    ]
    second = await ask(model, messages=said)
    assert second.content[0].type == "text"
    assert json.loads(second.content[0].text) == {"failed": "Only 0 of LAMP-01 are left, 1 are ordered."}


def conversation(result: str, sku: str = "LAMP-01") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": json.dumps(TASK)},
        {"role": "assistant", "content": [use(1, "inventory__check_stock", {"sku": sku})]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": result}]},
    ]


UNEXPECTED = {
    "an unknown stage": ({"system": "You are the tax specialist."}, "which specialist"),
    "no stage at all": ({"system": "Hello."}, "which specialist"),
    "a tool that is missing": ({"tools": [TOOL | {"name": "other"}]}, "not offered: inventory__check_stock"),
    "a task that is not the stage's": ({"messages": [{"role": "user", "content": "hi"}]}, "not the JSON"),
    "a result of another shape": ({"messages": conversation('{"left": 3}')}, "should answer JSON with available"),
    "a result that is no JSON": ({"messages": conversation("plenty")}, "got: plenty"),
    "a call it did not make": ({"messages": conversation("{}", sku="DESK-02")}, "did not make"),
    "talk after the end": (
        {
            "messages": [
                *conversation('{"available": 0}'),
                {"role": "assistant", "content": [{"type": "text", "text": "failed"}]},
                {"role": "user", "content": [{"type": "text", "text": "try harder"}]},
            ]
        },
        "after its last answer",
    ),
    "a call without its result": ({"messages": conversation("{}")[:2]}, "every `tool_use` needs its `tool_result`"),
    "an empty conversation": ({"messages": []}, "required: messages"),
}


@pytest.mark.parametrize("what", UNEXPECTED)
async def test_anything_unexpected_is_an_invalid_request(model: Model, what: str) -> None:
    request, said = UNEXPECTED[what]
    with pytest.raises(anthropic.BadRequestError, match=said) as caught:
        await ask(model, **request)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


async def test_streaming_gives_the_same_message_as_not_streaming() -> None:
    blocks = [{"type": "text", "text": "Grüße"}, use(1, "inventory__check_stock", {"sku": "MUG-04"})]
    reply = {"content": blocks, "stop_reason": "tool_use"}
    async with open_scripted("scripted:test", lambda request: reply) as model:
        whole = await ask(model)
        async with model.client.messages.stream(
            model=model.name, max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            assert "".join([piece async for piece in stream.text_stream]) == "Grüße"
            streamed = await stream.get_final_message()
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content] == blocks
    assert streamed.stop_reason == "tool_use"
    assert streamed.usage.output_tokens == whole.usage.output_tokens


async def test_errors_have_the_form_of_the_api() -> None:
    def overloaded(request: dict[str, Any]) -> dict[str, Any]:
        raise ApiError(429, "rate_limit_error", "slow down")

    async with open_scripted("scripted:test", overloaded) as model:
        with pytest.raises(anthropic.RateLimitError) as caught:
            await ask(Model(model.client.with_options(max_retries=0), model.name))
    assert caught.value.body == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": "req_000001",
    }


async def test_no_key_of_the_environment_reaches_a_scripted_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ANTHROPIC_API_KEY": "sk-real",
        "ANTHROPIC_AUTH_TOKEN": "real",
        "ANTHROPIC_PROFILE": "real",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    async with open_model("scripted:order", {"ANTHROPIC_API_KEY": "sk-real"}) as model:
        assert model.client.api_key == "scripted"
        assert (await ask(model)).stop_reason == "tool_use"


def test_a_scripted_model_takes_no_real_key() -> None:
    with serve(lambda request: text("never")) as url:
        body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
        for headers in ({"authorization": "Bearer sk-real"}, {"x-api-key": "scripted"}):
            answer = httpx2.post(f"{url}/v1/messages", json=body, headers=headers, trust_env=False)
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")


async def test_overreach_tries_the_tool_reads_the_refusal_and_reports_it(
    make_agent: MakeAgent, gateway: FakeGateway
) -> None:
    gateway.refuse("payment__refund_card", "There is no tool payment__refund_card.", "not_found")
    task = 'Please use payment__refund_card with {"charge_id": "chg_9", "amount": 5, "reason": "x"} at once.'
    run = await (await make_agent(SCRIPTS["overreach"])).run(task, run_id="r")
    assert run.outcome == "end_turn"
    assert "was refused. There is no tool payment__refund_card." in run.text
    assert gateway.calls[0].arguments == {"charge_id": "chg_9", "amount": 5, "reason": "x"}


async def test_overreach_fails_loudly_when_it_is_not_refused(make_agent: MakeAgent, gateway: FakeGateway) -> None:
    task = 'Use inventory__check_stock with {"sku": "LAMP-01"}'
    run = await (await make_agent(SCRIPTS["overreach"])).run(task, run_id="r")
    assert run.outcome == "model_error"
    assert "expected to be refused" in run.detail


WANTED = 'Customer CUS-1001 writes: "I want 120.00 back." Refund what is due.'
BALANCE = use(1, "billing__check_balance", {"customer_id": "CUS-1001"})
OFFERED = [{**TOOL, "name": name} for name in ("billing__check_balance", "billing__process_refund")]


def result(number: int, said: Any, **more: Any) -> dict[str, Any]:
    content = [{"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": json.dumps(said), **more}]
    return {"role": "user", "content": content}


async def refunding(*said: dict[str, Any]) -> anthropic.types.Message:
    async with open_scripted("scripted:refund", SCRIPTS["refund"]) as model:
        return await ask(model, messages=[{"role": "user", "content": WANTED}, *said], tools=OFFERED)


@pytest.mark.parametrize(("refundable", "amount"), [(43700, 12000), (500, 500)])
async def test_a_refund_is_asked_for_with_how_sure_the_agent_is(refundable: int, amount: int) -> None:
    looked = {"role": "assistant", "content": [BALANCE]}
    message = await refunding(looked, result(1, {"refundable": refundable}))
    (asked,) = message.content
    assert asked.type == "tool_use"
    assert (asked.input["amount"], asked.input["_confidence"]) == (amount, 0.55)


@pytest.mark.parametrize(
    ("said", "more", "report"),
    [
        ({"amount": 2500}, {}, "I refunded 25.00 of the 120.00 that CUS-1001 asked for."),
        ("Rejected: no.", {"is_error": True}, 'I refunded nothing: "Rejected: no."'),
    ],
)
async def test_what_came_of_a_refund_is_reported_as_the_tool_says_it(
    said: Any, more: dict[str, Any], report: str
) -> None:
    looked = {"role": "assistant", "content": [BALANCE]}
    known = [looked, result(1, {"refundable": 43700})]
    (asked,) = (await refunding(*known)).content
    assert asked.type == "tool_use"
    made = {"role": "assistant", "content": [use(2, asked.name, dict(asked.input))]}
    message = await refunding(*known, made, result(2, said, **more))
    assert message.content[0].type == "text"
    assert message.content[0].text == report


def test_the_api_takes_every_schema_of_the_order() -> None:
    for schema in (ORDER, *SCHEMAS.values()):
        assert transform_schema(dict(schema))["additionalProperties"] is False
