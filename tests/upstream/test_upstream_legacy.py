"""The corners of the legacy era over HTTP: sessions, resumption, and questions that name no call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from upstream_legacy import Legacy, event, stream
from upstream_parts import Client, Spec, call, until

from gateway.call import STREAM_CLOSED, Silent
from gateway.errors import Interrupted

DONE = {"content": [{"type": "text", "text": "done"}]}


@pytest.fixture
async def play(connect: Any) -> AsyncIterator[Any]:
    started: list[Legacy] = []

    async def start(server: Legacy) -> Any:
        started.append(server)
        upstream, seen = await connect(Spec(url=await server.start()))
        assert upstream.up and upstream.era == "legacy"
        return upstream, seen

    yield start
    for server in started:
        await server.stop()


def closes_after(*, abort: bool, **fields: Any) -> Any:
    """Answers a call with a stream that ends after one event without data."""

    async def behave(request: Any, message: Any) -> Any:
        response = await stream(request)
        await response.write(event(None, **fields))
        if abort:
            request.transport.close()
        return response

    return behave


@pytest.mark.parametrize("abort", [False, True], ids=["closed", "broken"])
async def test_a_stream_that_ends_early_is_resumed_where_it_ended(play: Any, abort: bool) -> None:
    server = Legacy(closes_after(abort=abort, id="e1", retry=10))
    heard_from: list[str] = []

    async def resume(request: Any) -> Any:
        heard_from.append(request.headers["Last-Event-ID"])
        response = await stream(request)
        id = 3 if len(heard_from) > 1 else None
        if id is None:
            progress = {"method": "notifications/progress", "params": {"progressToken": 3, "progress": 1}}
            await response.write(event(progress, id="e2"))
        else:
            await response.write(event({"id": id, "result": DONE}, id="e3"))
        return response

    server.resume = resume
    upstream, _ = await play(server)
    client = Client()
    assert await upstream.request("tools/call", call("call", progressToken="t"), peer=client) == DONE
    assert heard_from == ["e1", "e2"] and server.count("tools/call") == 1
    progress = ("notifications/progress", {"progressToken": "t", "progress": 1})
    assert client.heard[0] == (STREAM_CLOSED, {}) and client.heard.count(progress) == 1


@pytest.mark.parametrize("fields", [{}, {"id": "e1", "retry": 10}], ids=["without an id", "and is not resumed"])
async def test_a_stream_that_ends_early_is_interrupted_and_never_sent_again(play: Any, fields: Any) -> None:
    server = Legacy(closes_after(abort=False, **fields), offers_stream=False)
    upstream, _ = await play(server)
    with pytest.raises(Interrupted):
        await upstream.request("tools/call", call("call"), peer=Silent())
    assert server.count("tools/call") == 1


async def test_a_forgotten_session_is_opened_anew_once_and_each_call_runs_once(play: Any) -> None:
    server = Legacy()
    upstream, _ = await play(server)
    server.sessions.clear()
    await asyncio.gather(*(upstream.request("tools/call", call("call"), peer=Silent()) for _ in range(30)))
    assert server.opened == 2 and server.count("tools/call") == 30


async def test_a_question_that_names_no_call_goes_to_the_only_call_or_is_refused(play: Any) -> None:
    finish = asyncio.Event()

    async def behave(request: Any, message: Any) -> Any:
        response = await stream(request)
        await finish.wait()
        await response.write(event({"id": message["id"], "result": DONE}))
        return response

    server = Legacy(behave)
    upstream, _ = await play(server)
    await until(lambda: server.streams)
    client = Client({"roots/list": {"roots": []}})
    first = asyncio.create_task(upstream.request("tools/call", call("call"), peer=client))
    await until(lambda: server.count("tools/call") == 1)
    await server.say({"id": "q1", "method": "roots/list"})
    await until(lambda: server.answers)
    assert server.answers[0] == {"jsonrpc": "2.0", "id": "q1", "result": {"roots": []}}

    second = asyncio.create_task(upstream.request("tools/call", call("call"), peer=client))
    await until(lambda: server.count("tools/call") == 2)
    await server.say({"id": "q2", "method": "roots/list"})
    await server.say({"id": "q3", "method": "ping"})
    await until(lambda: len(server.answers) == 3)
    told = {answer["id"]: answer for answer in server.answers}
    assert "cannot tell which call asks" in told["q2"]["error"]["message"] and told["q3"]["result"] == {}
    assert len(client.asked) == 1
    finish.set()
    assert await asyncio.gather(first, second) == [DONE, DONE]


async def test_cancelling_sends_a_cancellation_and_waits_for_nothing(play: Any) -> None:
    async def behave(request: Any, message: Any) -> Any:
        await asyncio.Event().wait()

    server = Legacy(behave)
    upstream, _ = await play(server)
    asking = asyncio.create_task(upstream.request("tools/call", call("call"), peer=Silent()))
    await until(lambda: server.count("tools/call") == 1)
    asking.cancel()
    await until(lambda: server.count("notifications/cancelled") == 1)
    assert dict(server.posts)["notifications/cancelled"]["requestId"] == 3


async def test_the_session_is_deleted_at_the_end(connect: Any) -> None:
    from gateway.upstream import Upstream

    server = Legacy()
    spec = Spec(url=await server.start(), era="legacy")
    upstream = Upstream(spec, on_listing=lambda _: None, on_notice=lambda *_: None)
    running = asyncio.create_task(upstream.run())
    await upstream.ready.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert server.deleted == ["session-1"] and not upstream.up
    await server.stop()
