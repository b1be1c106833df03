"""The modern face byte by byte: what is a request, what is not, and how each is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bridging_clients import text, until
from wire import ACCEPT, MODERN, PREFIX, Wire, envelope, headers_of, messages, request, wired
from workbench import Bench

PAY = {"name": "pay", "arguments": {"amount": 1}}


@pytest.fixture
async def wire(bench: Bench) -> AsyncIterator[Wire]:
    async with wired(bench.url("modern"), bench.headers("ada")) as opened:
        yield opened


def bare_meta(**changed: Any) -> dict[str, Any]:
    meta = {**envelope(), **changed}
    return {key: value for key, value in meta.items() if value is not None}


CALL = request("tools/call", PAY)
# what is wrong, body, headers that differ, status, code of the error (None: no body)
WRONG: list[tuple[str, Any, dict[str, str], int, int | None]] = [
    ("accepts JSON only", CALL, {"Accept": "application/json"}, 406, None),
    ("accepts events only", CALL, {"Accept": "text/event-stream"}, 406, None),
    ("is too large", b"x" * 70_000, {}, 413, None),
    ("is empty", b"", {}, 400, -32700),
    ("is no JSON", b"{", {}, 400, -32700),
    ("holds NaN", b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":NaN}}', {}, 400, -32700),
    ("is no UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', {}, 400, -32700),
    ("is a batch", [CALL], {}, 400, -32600),
    ("is a number", 7, {}, 400, -32600),
    ("is of JSON-RPC 1", {**CALL, "jsonrpc": "1.0"}, {}, 400, -32600),
    ("has an id that is null", {**CALL, "id": None}, {}, 400, -32600),
    ("has an id that is a fraction", {**CALL, "id": 1.5}, {}, 400, -32600),
    ("has an id that is true", {**CALL, "id": True}, {}, 400, -32600),
    ("has params that are a list", {**CALL, "params": []}, {}, 400, -32600),
    ("has no envelope", {**CALL, "params": PAY}, {}, 400, -32602),
    (
        "has no capabilities",
        {**CALL, "params": {**PAY, "_meta": bare_meta(**{f"{PREFIX}clientCapabilities": None})}},
        {},
        400,
        -32602,
    ),
    ("names another method in its header", CALL, {"Mcp-Method": "tools/list"}, 400, -32020),
    ("names another tool in its header", CALL, {"Mcp-Name": "crash"}, 400, -32020),
    ("speaks a version that is not known", CALL, {"MCP-Protocol-Version": "2031-01-01"}, 400, -32020),
    ("asks for what there is not", request("tools/destroy"), {"Mcp-Method": "tools/destroy"}, 404, -32601),
    ("initializes", request("initialize"), {"Mcp-Method": "initialize"}, 404, -32601),
    ("pings", request("ping"), {"Mcp-Method": "ping"}, 404, -32601),
    ("subscribes as before", request("resources/subscribe", {"uri": "x"}), {}, 404, -32601),
    ("lists with a cursor that is none", request("tools/list", {"cursor": "nonsense"}), {}, 400, -32602),
]


@pytest.mark.parametrize(
    ("body", "changed", "status", "code"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
async def test_a_request_that(
    wire: Wire, bench: Bench, body: Any, changed: dict[str, str], status: int, code: int | None
) -> None:
    proper = headers_of(body) if isinstance(body, dict) and "params" in body and body["params"] else headers_of(CALL)
    paid = len(bench.record("modern").all("started"))
    answered = await wire.send("POST", body, {**proper, **changed})
    assert answered[0] == status
    if code is not None:
        assert answered[2]["error"]["code"] == code, answered[2]
        assert "Traceback" not in answered[2]["error"]["message"]
    assert len(bench.record("modern").all("started")) == paid


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS"])
async def test_only_post_is_served(wire: Wire, method: str) -> None:
    status, headers, body = await wire.send(method, headers={**ACCEPT, "MCP-Protocol-Version": MODERN})
    assert (status, headers["Allow"], body) == (405, "POST", "")


async def test_a_header_that_stands_there_twice_is_refused(wire: Wire) -> None:
    for name in ("Mcp-Method", "Mcp-Name"):
        twice = [*headers_of(CALL).items(), (name, headers_of(CALL)[name])]
        status, _, answered = await wire.send("POST", CALL, twice)
        assert (status, answered["error"]["code"], answered["id"]) == (400, -32020, 1)


async def test_blanks_around_a_header_are_no_part_of_it(bench: Bench) -> None:
    """Sent by hand, since clients trim their headers."""
    body = json.dumps(CALL).encode()
    lines = {**headers_of(CALL), **bench.headers("ada"), "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}:  {value} \t\r\n" for name, value in lines.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port)
    writer.write(f"POST /mcp/modern HTTP/1.1\r\nHost: 127.0.0.1:{bench.gateway.port}\r\n{head}\r\n".encode() + body)
    answered = await reader.read()
    writer.close()
    assert answered.startswith(b"HTTP/1.1 200") and b"Paid 1." in answered


async def test_notifications_are_taken_and_not_answered(wire: Wire) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/whatever", "params": {"_meta": envelope()}}
    status, _, body = await wire.send("POST", message, headers_of(message))
    assert (status, body) == (202, "")


@pytest.mark.parametrize("identity", [0, -7, 2**53 + 1, 2**64 - 1, "", "a", "x" * 500, "größe\n"])
async def test_ids_are_echoed_as_they_came(wire: Wire, identity: int | str) -> None:
    for method, params in (("tools/call", PAY), ("tools/call", {"name": "nosuch"}), ("tools/list", None)):
        _, _, answered = await wire.ask(method, params, identity)
        assert answered["id"] == identity and type(answered["id"]) is type(identity)


@pytest.mark.parametrize(("depth", "status"), [(64, 200), (65, 400), (5_000, 400)])
async def test_a_message_may_be_nested_sixty_four_deep(wire: Wire, depth: int, status: int) -> None:
    """A message, its params and their arguments are three levels; what is in them are the others."""
    inner = "[" * (depth - 3) + "7" + "]" * (depth - 3)
    body = json.dumps(request("tools/call", {**PAY, "arguments": {"amount": 1, "deep": "@"}})).replace('"@"', inner)
    answered = await wire.send("POST", body.encode(), headers_of(CALL))
    assert answered[0] == status
    if status == 200:
        assert text(answered[2]["result"]) == "Paid 1."
    else:
        assert answered[2]["error"]["code"] == -32700


async def test_a_notification_nobody_knows_does_not_reach_the_client(wire: Wire) -> None:
    meta = envelope(progressToken="p")
    params = {"name": "mutter", "arguments": {"subscription": "l-1"}, "_meta": meta}
    _, _, told = await wire.ask("tools/call", params, "l-1")
    assert [message.get("method") for message in told] == ["notifications/progress", None]
    assert text(told[-1]["result"]) == "Muttered."


async def test_an_answer_is_json_until_there_is_more_to_say(wire: Wire) -> None:
    _, headers, _ = await wire.ask("tools/call", {"name": "report"})
    assert headers["Content-Type"] == "application/json"
    quiet = {"name": "report", "_meta": envelope(progressToken="mine")}
    _, headers, told = await wire.ask("tools/call", quiet, "r")
    assert headers["Content-Type"] == "text/event-stream"
    assert [message.get("method") for message in told] == ["notifications/progress"] * 5 + [None]
    assert {message["params"]["progressToken"] for message in told[:-1]} == {"mine"}
    assert told[-1]["id"] == "r" and text(told[-1]["result"]) == "Reported."


async def test_output_that_is_no_object_passes_as_it_is(wire: Wire) -> None:
    _, _, answered = await wire.ask("tools/call", {"name": "row"})
    assert answered["result"]["structuredContent"] == [1, 2]


async def test_equal_ids_of_many_agents_never_cross(bench: Bench) -> None:
    async def ask(agent: str, face: str, amount: int) -> None:
        async with wired(bench.url(face), bench.headers(agent)) as wire:
            params = {"name": "pay", "arguments": {"amount": amount}}
            answers = await asyncio.gather(*(wire.ask("tools/call", params, 1) for _ in range(5)))
            assert {text(answered["result"]) for _, _, answered in answers} == {f"Paid {amount}."}

    faces = ("legacy", "modern", "stdio")
    agents = ("ada", "bob")
    await asyncio.gather(
        *(ask(agent, face, 10 * i + j) for i, agent in enumerate(agents, 1) for j, face in enumerate(faces, 1))
    )


async def test_a_hidden_tool_with_mirrored_arguments_is_not_given_away_by_its_headers(wire: Wire) -> None:
    answers = []
    for name in ("hidden_mirror", "nosuch"):
        status, _, answered = await wire.ask("tools/call", {"name": name, "arguments": {"region": "north"}})
        answered["result"]["_meta"]["toolgate/refusal"].pop("call")
        answers.append((status, json.dumps(answered).replace(name, "X")))
    assert answers[0] == answers[1]


async def test_a_connection_that_closes_cancels_its_call(bench: Bench, wire: Wire, tag: str) -> None:
    record, message = bench.record("modern"), request("tools/call", {"name": "wait", "arguments": {"tag": tag}})
    body = json.dumps(message).encode()
    lines = {**headers_of(message), **bench.headers("ada"), "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    _, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port)
    writer.write(f"POST /mcp/modern HTTP/1.1\r\nHost: 127.0.0.1:{bench.gateway.port}\r\n{head}\r\n".encode() + body)
    await until(lambda: record.events("wait", tag, "started"))
    writer.transport.abort()
    await until(lambda: record.events("wait", tag, "cancelled"))


async def test_a_listen_stream_says_first_what_it_honours(wire: Wire) -> None:
    message = request("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, "l-1")
    async with wire.session.post(wire.url, json=message, headers=headers_of(message)) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        (first,) = messages((await response.content.readuntil(b"\r\n\r\n")).decode())
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["notifications"] == {"toolsListChanged": True}
    assert first["params"]["_meta"][f"{PREFIX}subscriptionId"] == "l-1"
