"""The legacy face byte by byte: sessions and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bridging_clients import text, until
from wire import ACCEPT, LEGACY, Wire, messages, wired
from workbench import Bench


@pytest.fixture
async def wire(bench: Bench) -> AsyncIterator[Wire]:
    async with wired(bench.url("modern"), bench.headers("ada")) as opened:
        yield opened


def message(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}


PAY = message("tools/call", {"name": "pay", "arguments": {"amount": 3}})


async def test_a_session_is_opened_used_and_ended(wire: Wire) -> None:
    session = await wire.initialize()
    _, _, answered = await wire.send("POST", PAY, session)
    assert text(answered[-1]["result"]) == "Paid 3." and answered[-1]["id"] == 1
    assert "resultType" not in answered[-1]["result"]
    assert (await wire.send("DELETE", headers=session))[0] == 200
    assert (await wire.send("POST", PAY, session))[0] == 404


async def test_the_session_of_another_token_is_not_there(bench: Bench, wire: Wire) -> None:
    session = await wire.initialize()
    made_up = {**session, "Mcp-Session-Id": "0" * 32}
    async with wired(bench.url("modern"), bench.headers("bob")) as thief:
        for method, body in (("POST", PAY), ("GET", None), ("DELETE", None)):
            stolen, absent = [await thief.send(method, body, used) for used in (session, made_up)]
            assert stolen[0] == absent[0] == 404 and stolen[2] == absent[2]
    async with wired(bench.url("legacy"), bench.headers("ada")) as elsewhere:
        assert (await elsewhere.send("POST", PAY, session))[0] == 404
    assert text((await wire.send("POST", PAY, session))[2][-1]["result"]) == "Paid 3."


async def test_output_that_is_no_object_becomes_text_for_it_has_no_place_in_this_era(wire: Wire) -> None:
    session = await wire.initialize()
    for tool in ("row", "bare_row"):
        _, _, answered = await wire.send("POST", message("tools/call", {"name": tool}), session)
        assert answered[-1]["result"] == {"content": [{"type": "text", "text": "[1, 2]"}]}


@pytest.mark.parametrize(
    ("method", "body", "status"), [("GET", None, 400), ("DELETE", None, 400), ("POST", PAY, 400), ("PUT", None, 405)]
)
async def test_without_a_session_nothing_is_served(wire: Wire, method: str, body: Any, status: int) -> None:
    assert (await wire.send(method, body, {**ACCEPT, "MCP-Protocol-Version": LEGACY}))[0] == status


async def test_initialize_tells_of_the_upstream_behind_the_face(bench: Bench) -> None:
    told = {}
    for face in ("legacy", None):
        async with wired(bench.url(face), bench.headers("ada")) as wire:
            params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "w", "version": "1"}}
            _, _, answered = await wire.send("POST", message("initialize", params), ACCEPT)
            told[face] = (answered if isinstance(answered, dict) else answered[-1])["result"]
    assert told["legacy"]["instructions"] == "Use the bench." and "instructions" not in told[None]
    for result in told.values():
        assert result["serverInfo"]["name"] == "toolgate" and result["protocolVersion"] == LEGACY
        assert result["capabilities"]["tools"] == {"listChanged": True}
        assert result["capabilities"]["resources"] == {"listChanged": True, "subscribe": True}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (message("server/discover"), -32601),
        (message("subscriptions/listen"), -32601),
        (message("tools/destroy"), -32601),
        (message("logging/setLevel", {"level": "loud"}), -32602),
        (message("tools/list", {"cursor": "nonsense"}), -32602),
        (message("tools/call", {"name": "pay", "_meta": "none"}), -32602),
        (message("tools/call", {"name": "rich", "requestState": "made up"}), -32602),
        (message("resources/subscribe", {"uri": ""}), -32602),
        (message("completion/complete", {"ref": "none"}), -32602),
    ],
    ids=lambda value: str(value.get("method")) if isinstance(value, dict) else "",
)
async def test_what_is_wrong_is_an_error_and_the_session_goes_on(wire: Wire, body: Any, code: int) -> None:
    session = await wire.initialize()
    _, _, answered = await wire.send("POST", body, session)
    answered = answered if isinstance(answered, dict) else answered[-1]
    assert answered["error"]["code"] == code, answered
    assert text((await wire.send("POST", PAY, session))[2][-1]["result"]) == "Paid 3."


async def test_a_client_that_cancels_gets_no_answer_and_the_tool_stops(bench: Bench, wire: Wire, tag: str) -> None:
    record, session = bench.record("modern"), await wire.initialize()
    waiting = asyncio.create_task(
        wire.send("POST", message("tools/call", {"name": "wait", "arguments": {"tag": tag}}, 9), session)
    )
    await until(lambda: record.events("wait", tag, "started"))
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}
    assert (await wire.send("POST", cancel, session))[0] == 202
    await until(lambda: record.events("wait", tag, "cancelled"))
    await waiting


async def test_a_resource_its_upstream_will_not_watch_breaks_nothing(bench: Bench) -> None:
    async with wired(bench.url("legacy"), bench.headers("ada")) as wire:
        session = await wire.initialize()
        for uri in ("workshop://note/3", "workshop://note/1"):
            _, _, answered = await wire.send("POST", message("resources/subscribe", {"uri": uri}), session)
            assert "gateway itself" not in str(answered)
            assert text((await wire.send("POST", PAY, session))[2][-1]["result"]) == "Paid 3."
        record = bench.record("legacy")
        await until(lambda: "workshop://note/1" in [event["uri"] for event in record.all("subscribed")])


async def test_a_session_that_ends_leaves_no_subscription_at_the_upstream(bench: Bench) -> None:
    record = bench.record("legacy")
    uri = "workshop://note/2"
    async with wired(bench.url("legacy"), bench.headers("bob")) as wire:
        session = await wire.initialize()
        await wire.send("POST", message("resources/subscribe", {"uri": uri}), session)
        await until(lambda: uri in [event["uri"] for event in record.all("subscribed")])
        await wire.send("DELETE", headers=session)
    await until(lambda: uri in [event["uri"] for event in record.all("unsubscribed")])


async def test_events_of_a_stream_carry_the_messages_in_order(bench: Bench) -> None:
    async with wired(bench.url("modern"), bench.headers("ada")) as wire:
        session = await wire.initialize()
        call = message("tools/call", {"name": "report", "_meta": {"progressToken": 5}})
        async with wire.session.post(wire.url, json=call, headers=session) as response:
            told = messages(await response.text())
    assert [each["params"]["progress"] for each in told[:-1]] == [1, 2, 3, 4, 5]
    assert {each["params"]["progressToken"] for each in told[:-1]} == {5}
