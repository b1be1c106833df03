"""Every way a call is refused: a result the model can read, a stable reason, and a session that goes on."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from typing import Any

import pytest
from bridging_clients import Era, call, connected, refusal, text, until
from mcp import MCPError
from processes import listening, running
from wire import envelope, headers_of, request, wired
from workbench import KINDS, Bench, workshop_command
from workshop_tools import CANARY

pytestmark = pytest.mark.parametrize("era", ["legacy", "modern"])
each_upstream = pytest.mark.parametrize("upstream", KINDS)

# agent, server, tool, arguments, reason, words of the text
REFUSALS: list[tuple[str, str, str, dict[str, Any], str, list[str]]] = [
    ("ada", "modern", "nosuch", {}, "not_found", ["'modern__nosuch'", "list of tools"]),
    ("cleo", "modern", "pay", {"amount": 500}, "denied", ["amount", "100"]),
    ("ada", "legacy", "pay", {"amount": "ten"}, "invalid_arguments", ["amount", "integer", "call again"]),
    ("ada", "modern", "pay", {}, "invalid_arguments", ["amount", "required"]),
    ("ada", "hasty", "wait", {}, "deadline_exceeded", ["hasty", "0.3 seconds", "not known"]),
    ("ada", "modern", "reject", {}, "upstream_error", ["There is no such shelf."]),
    ("ada", "legacy", "reject", {}, "upstream_error", ["There is no such shelf."]),
    ("ada", "stdio", "crash", {}, "upstream_error", ["stdio failed to run stdio__crash", "may or may not"]),
    ("ada", "modern", "crash", {}, "upstream_error", ["modern failed to run modern__crash"]),
    ("ada", "legacy", "crash", {}, "upstream_error", ["legacy failed to run legacy__crash"]),
    ("ada", "modern", "malform", {}, "upstream_garbled", ["cannot be read"]),
    ("ada", "locked", "pay", {"amount": 1}, "no_credential", ["locked"]),
    ("ada", "frail", "pay", {"amount": 1}, "not_found", ["'frail__pay'"]),
]


@pytest.mark.parametrize(
    ("agent", "server", "tool", "arguments", "reason", "words"), REFUSALS, ids=lambda value: str(value)[:20]
)
async def test_a_refusal_is_a_result_for_the_model(
    bench: Bench, era: Era, agent: str, server: str, tool: str, arguments: Any, reason: str, words: list[str]
) -> None:
    async with connected(bench.url(), bench.headers(agent), era) as (client, _):
        refused = await call(client, f"{server}__{tool}", arguments)
        assert refusal(refused)["reason"] == reason and refusal(refused)["call"]
        assert [word for word in words if word not in text(refused)] == []
        assert CANARY not in json.dumps(refused) and "Error" not in text(refused)
        assert not (await call(client, "modern__pay", {"amount": 7})).get("isError")


async def test_an_upstream_cannot_speak_as_the_gateway(bench: Bench, era: Era) -> None:
    async with connected(bench.url("modern"), bench.headers("ada"), era) as (client, _):
        meta = (await call(client, "forge"))["_meta"]
    assert meta["vendor.example/mine"] == 1 and "toolgate/refusal" not in meta


async def test_a_state_that_could_not_have_come_from_the_gateway_is_stale(bench: Bench, era: Era) -> None:
    async with wired(bench.url("modern"), bench.headers("ada")) as wire:
        session = await wire.initialize() if era == "legacy" else {}
        for state in ("größe.s", "\u0000.s", "é", "."):
            message = request("tools/call", {"name": "ask_forged", "requestState": state, "_meta": envelope()})
            _, _, answered = await wire.send("POST", message, session or headers_of(message))
            answered = answered[-1] if isinstance(answered, list) else answered
            assert answered["error"]["code"] == -32602 and "requestState" in answered["error"]["message"], answered


async def test_a_hidden_tool_and_one_that_is_not_there_get_the_same_answer(bench: Bench, era: Era, tag: str) -> None:
    async with connected(bench.url("modern"), bench.headers("ada"), era) as (client, _):
        answers = []
        for name in ("hidden", "hidden_mirror", "nosuch"):
            refused = await call(client, name, {"tag": tag, "region": "north"})
            refused["_meta"]["toolgate/refusal"].pop("call")
            answers.append(json.dumps(refused).replace(name, "X"))
    assert answers[0] == answers[1] == answers[2]
    assert not bench.record("modern").events("hidden", tag)


@each_upstream
async def test_a_tool_whose_time_is_up_is_told_to_stop(bench: Bench, era: Era, upstream: str, tag: str) -> None:
    record = bench.record(upstream)
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
        refused = await call(client, "wait", {"tag": tag}, **{"toolgate/timeout": 0.3})
        assert refusal(refused)["reason"] == "deadline_exceeded"
        await until(lambda: record.events("wait", tag, "cancelled"))


async def test_calls_beyond_the_bulkhead_are_refused_at_once(bench: Bench, era: Era, tag: str) -> None:
    async with connected(bench.url("narrow"), bench.headers("ada"), era) as (client, _):
        holding = asyncio.create_task(call(client, "wait", {"tag": tag, "seconds": 1}))
        await until(lambda: bench.record("modern").events("wait", tag, "started"))
        refused = await call(client, "pay", {"amount": 1})
        assert refusal(refused)["reason"] == "busy" and refusal(refused)["retry_after"] > 0
        assert text(await holding) == "Waited."
        assert text(await call(client, "pay", {"amount": 1})) == "Paid 1."


async def test_an_agent_that_asks_too_often_is_slowed_down_alone(bench: Bench, era: Era) -> None:
    async with (
        connected(bench.url("modern"), bench.headers("flood"), era) as (flood, _),
        connected(bench.url("modern"), bench.headers("ada"), era) as (ada, _),
        wired(bench.url("modern"), bench.headers("flood")) as wire,
    ):

        async def press() -> None:
            while True:
                await wire.ask("tools/list")

        pressing = [asyncio.create_task(press()) for _ in range(16)]
        async with asyncio.timeout(20):
            while not (answered := await call(flood, "pay", {"amount": 1})).get("isError"):
                pass
        for task in pressing:
            task.cancel()
        await asyncio.gather(*pressing, return_exceptions=True)
        assert refusal(answered)["reason"] == "throttled" and refusal(answered)["retry_after"] > 0
        assert text(await call(ada, "pay", {"amount": 1})) == "Paid 1."


async def test_an_upstream_that_fails_is_left_alone_and_comes_back_by_itself(bench: Bench, era: Era) -> None:
    port = bench.ports["frail"]
    command = workshop_command(bench.folder, "frail", "modern", port)
    async with connected(bench.url("frail"), bench.headers("ada"), era) as (client, _):

        async def answer() -> dict[str, Any]:
            return await call(client, "pay", {"amount": 1})

        async def becomes(expected: Any) -> dict[str, Any]:
            async with asyncio.timeout(8):
                while True:
                    answered = await answer()
                    if (refusal(answered)["reason"] if answered.get("isError") else "Paid") in expected:
                        return answered
                    await asyncio.sleep(0.02)

        with ExitStack() as stack:
            stack.enter_context(running(command, lambda: listening(port), bench.folder / "frail.log"))
            await becomes({"Paid"})
        await becomes({"upstream_unreachable", "upstream_interrupted"})
        opened = await becomes({"circuit_open"})
        assert 0 < refusal(opened)["retry_after"] <= 0.5 and "nothing was sent" in text(opened)
        with running(command, lambda: listening(port), bench.folder / "frail.log"):
            await becomes({"Paid"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("toolgate/run", 7), ("toolgate/run", ""), ("toolgate/key", "x" * 256), ("toolgate/key", {})),
        *(("toolgate/key", "ticket/T1"), ("claudecode/toolUseId", "undo/c1")),
    ],
)
async def test_malformed_keys_of_a_client_are_named(bench: Bench, era: Era, key: str, value: Any, tag: str) -> None:
    async with connected(bench.url("modern"), bench.headers("ada"), era) as (client, _):
        with pytest.raises(MCPError, match=key) as failed:
            await call(client, "pay", {"amount": 1, "tag": tag}, **{key: value})
        assert failed.value.error.code == -32602
        assert text(await call(client, "pay", {"amount": 2})) == "Paid 2."
    assert not bench.record("modern").events("pay", tag)


async def test_arguments_that_cannot_be_passed_on_are_no_failure_of_the_gateway(bench: Bench, era: Era) -> None:
    message = {**request("tools/call", {"name": "pay"}), "id": 3}
    for odd in (b"1180591620717411303424", b'"\\ud800"'):
        async with wired(bench.url("legacy"), bench.headers("ada")) as wire:
            headers = headers_of(message) if era == "modern" else await wire.initialize()
            body = json.dumps({**message, "params": {**message["params"], "arguments": {"amount": 1, "odd": "@"}}})
            _, _, answered = await wire.send("POST", body.replace(json.dumps("@"), odd.decode()).encode(), headers)
        answered = answered if isinstance(answered, dict) else answered[-1]
        assert "result" not in answered or not answered["result"].get("isError"), answered
        assert answered.get("error", {"code": -32602})["code"] in (-32602, -32700)


# method, parameters, code in either era
ERRORS: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("resources/read", {"uri": "workshop://note/2"}, {"legacy": -32002, "modern": -32602}),
    ("resources/read", {"uri": "workshop://nowhere"}, {"legacy": -32002, "modern": -32602}),
    ("prompts/get", {"name": "greet"}, {"legacy": -32602, "modern": -32602}),
    ("prompts/get", {"name": "nosuch"}, {"legacy": -32602, "modern": -32602}),
]


@pytest.mark.parametrize(("method", "params", "codes"), ERRORS)
async def test_resources_and_prompts_are_refused_with_an_error(
    bench: Bench, era: Era, method: str, params: dict[str, Any], codes: dict[str, int]
) -> None:
    async with wired(bench.url("modern"), bench.headers("cleo")) as wire:
        if era == "modern":
            _, _, answered = await wire.ask(method, params)
        else:
            session = await wire.initialize()
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            _, _, answered = await wire.send("POST", message, session)
            answered = answered[-1] if isinstance(answered, list) else answered
    error = answered["error"]
    assert error["code"] == codes[era] and "may use here" in error["message"]


async def test_a_prompt_of_a_server_without_credential_is_refused_with_its_reason(bench: Bench, era: Era) -> None:
    async with connected(bench.url("locked"), bench.headers("ada"), era) as (client, _):
        with pytest.raises(MCPError) as failed:
            await client.get_prompt("plain")
    assert failed.value.error.code == 52001 and failed.value.error.data["reason"] == "no_credential"


async def test_params_of_the_wrong_shape_are_invalid_and_nothing_more(bench: Bench, era: Era) -> None:
    odd: list[dict[str, Any]] = [{"name": 7}, {"name": "pay", "arguments": [1]}, {"name": ""}, {}]
    async with wired(bench.url("modern"), bench.headers("ada")) as wire:
        session = await wire.initialize() if era == "legacy" else {}
        for params in odd:
            message = request("tools/call", {**params, "_meta": envelope()})
            status, _, answered = await wire.send("POST", message, session or headers_of(message))
            answered = answered[-1] if isinstance(answered, list) else answered
            assert answered["error"]["code"] in (-32602, -32020), answered
            assert status in (200, 400)
