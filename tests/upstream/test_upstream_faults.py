"""Every way a server can answer badly: one failure for that call, and the next call works."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from upstream_hostile import Behaviour, Hostile, answers, bomb, capitals, drip, raw, says, stream
from upstream_parts import Spec, call, text, until

from gateway.call import Silent
from gateway.errors import Garbled, Interrupted, Unreachable, UpstreamError, UpstreamFailed
from gateway.upstream.failures import garbled, interrupted, unreachable

HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
MANY = [b"x" * 65536] * 300
EMPTY_SSE = b": nothing\n\n"

FAULTS: dict[str, tuple[Behaviour, type[UpstreamFailed]]] = {
    "cuts the connection": (raw(b""), Interrupted),
    "stops half way": (raw(HALF), Interrupted),
    "speaks no HTTP": (raw(b"\x00\x01\x02 hello\r\n\r\n"), Garbled),
    "answers HTML": (answers(b"<html>", content_type="text/html"), Garbled),
    "answers no JSON": (answers(b"{"), Garbled),
    "answers a list": (answers([1]), Garbled),
    "answers neither result nor error": (answers({"jsonrpc": "2.0", "id": 1}), Garbled),
    "answers another request": (answers({"jsonrpc": "2.0", "id": 99_999, "result": {}}), Garbled),
    "answers with NaN": (answers(b'{"jsonrpc":"2.0","id":4,"result":{"a":NaN}}'), Garbled),
    "answers with a key twice": (answers(b'{"jsonrpc":"2.0","id":4,"result":{"a":1,"\\u0061":2}}'), Garbled),
    "answers nothing (202)": (says(202), Garbled),
    "redirects": (says(307, Location="/elsewhere"), Garbled),
    "announces too much": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"),
        Garbled,
    ),
    "sends too much": (stream(*MANY, content_type="application/json"), Garbled),
    "sends a bomb": (stream(bomb(200), content_type="application/json", **{"Content-Encoding": "gzip"}), Garbled),
    "sends an event without end": (stream(b"data: ", *MANY), Garbled),
    "sends an event that is no JSON": (stream(b"data: {\n\n"), Garbled),
    "ends its stream early": (stream(EMPTY_SSE), Interrupted),
    "ends its stream inside an event": (stream(b"data: {}"), Interrupted),
    "fails (500)": (says(500, "Traceback: secret"), Interrupted),
    "is overloaded (503)": (says(503), Interrupted),
    "has no such path": (says(404), Garbled),
}


@pytest.fixture
async def hostile() -> AsyncIterator[Any]:
    started: list[Hostile] = []

    async def start(behave: Behaviour) -> Hostile:
        server = Hostile(behave)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


def spec(server: Hostile) -> Spec:
    return Spec(url=f"http://127.0.0.1:{server.port}/mcp", headers={"Authorization": "Bearer hidden"})


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that(hostile: Any, connect: Any, fault: str) -> None:
    behave, expected = FAULTS[fault]
    server = await hostile(behave)
    upstream, _ = await connect(spec(server))
    with pytest.raises(expected) as failed:
        await upstream.request("tools/call", call("call"), peer=Silent())
    assert str(failed.value) in {str(made("depot")) for made in (unreachable, interrupted, garbled)}
    assert failed.value.__cause__ is None and failed.value.__suppress_context__ | (failed.value.__context__ is None)
    assert server.calls == 1 and server.elsewhere == 0
    assert await upstream.request("tools/call", call("well"), peer=Silent()) == {"content": []}
    assert upstream.up


async def test_a_compressed_answer_is_refused_unread(hostile: Any, connect: Any) -> None:
    server = await hostile(FAULTS["sends a bomb"][0])
    upstream, _ = await connect(spec(server))
    before = psutil.Process().memory_info().rss
    with pytest.raises(Garbled):
        await upstream.request("tools/call", call("call"), peer=Silent())
    assert psutil.Process().memory_info().rss - before < 80 * 1024 * 1024


@pytest.mark.parametrize("behave", [drip, capitals], ids=["byte by byte", "with capitals in its media type"])
async def test_a_right_answer_may_come(hostile: Any, connect: Any, behave: Behaviour) -> None:
    upstream, _ = await connect(spec(await hostile(behave)))
    assert text(await upstream.request("tools/call", call("call"), peer=Silent())) == "größe"


async def test_errors_keep_code_and_data_and_statuses_become_codes(hostile: Any, connect: Any) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32602, "message": "no", "data": {"a": 1}}}
    upstream, _ = await connect(spec(await hostile(answers(error, status=400))))
    with pytest.raises(UpstreamError) as failed:
        await upstream.request("tools/call", call("call"), peer=Silent())
    assert (failed.value.code, failed.value.message, failed.value.data) == (-32602, "no", {"a": 1})
    for status in (401, 403):
        upstream, _ = await connect(spec(await hostile(says(status, "key hidden"))))
        with pytest.raises(UpstreamError) as failed:
            await upstream.request("tools/call", call("call"), peer=Silent())
        assert failed.value.code == status and "hidden" not in failed.value.message
    upstream, _ = await connect(spec(await hostile(says(429, **{"Retry-After": "7"}))))
    with pytest.raises(Interrupted) as busy:
        await upstream.request("tools/call", call("call"), peer=Silent())
    assert busy.value.retry_after == 7


async def test_a_dropped_connection_that_was_kept_open_is_never_used_to_send_twice(hostile: Any, connect: Any) -> None:
    """The server takes the call on a connection it answered before, then drops it without a byte."""
    server = await hostile(raw(b""))
    upstream, _ = await connect(spec(server))
    for number in range(1, 6):
        await upstream.request("tools/call", call("well"), peer=Silent())
        with pytest.raises(Interrupted):
            await upstream.request("tools/call", call("call"), peer=Silent())
        assert server.calls == 2 * number


async def test_one_unusable_tool_does_not_cost_the_others_and_vendor_fields_are_kept(
    hostile: Any, connect: Any
) -> None:
    upstream, _ = await connect(spec(await hostile(drip)))
    assert upstream.listing.tools == ({"name": "call", "inputSchema": {"type": "object"}, "x-vendor": {"kept": True}},)


async def test_a_server_that_hangs_holds_up_its_own_call_only(hostile: Any, connect: Any) -> None:
    left: list[bool] = []

    async def hang(request: Any, message: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            left.append(True)

    server = await hostile(hang)
    upstream, _ = await connect(spec(server))
    hanging = [asyncio.create_task(upstream.request("tools/call", call("call"), peer=Silent())) for _ in range(20)]
    await until(lambda: server.calls == 20)
    for _ in range(20):
        await upstream.request("tools/call", call("well"), peer=Silent())
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await until(lambda: len(left) == 20)


async def test_a_port_where_nobody_listens_is_unreachable_and_nothing_was_sent(connect: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        upstream, seen = await connect(Spec(url=f"http://127.0.0.1:{free.getsockname()[1]}/mcp"))
    assert not upstream.up and seen.listings == []
    with pytest.raises(Unreachable) as failed:
        await upstream.request("tools/call", call("call"), peer=Silent())
    assert failed.value.ran is False
