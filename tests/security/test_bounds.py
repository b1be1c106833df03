"""What one agent can take up of the gateway is bounded: requests, sessions, streams, subscriptions, memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_inside import Inside, inside
from raw_client import HELLO, Legacy, Modern, Reply, eventually, post

REFUSED = 52001
BURST = 3
BATCH = 500
"""Notifications at once: fewer than wait for a client before it is dropped."""
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture
async def roomy(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, ["ada", "bob"]) as opened:
        yield opened


@pytest.fixture
async def tight(tmp_path: Path) -> AsyncIterator[Inside]:
    throttle = f"[throttle]\nper_second = 0.001\nburst = {BURST}\n"
    async with inside(tmp_path, ["ada", "bob"], throttle) as opened:
        yield opened


async def opening(client: Legacy, method: str = "initialize", params: Any = HELLO) -> Reply:
    """One request of a legacy client that has no session yet."""
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": method, "params": params})
    return await post(client.session, client.url, client.headers, body.encode())


def error(reply: Reply) -> dict[str, Any]:
    assert "error" in reply.message, reply
    return dict(reply.message["error"])


async def test_initialize_counts_as_a_request(tight: Inside) -> None:
    ada = tight.legacy("ada")
    replies = [await opening(ada) for _ in range(BURST + 1)]
    assert [reply.reason for reply in replies] == [None] * BURST + ["throttled"]
    assert (await opening(tight.legacy("bob"))).reason is None


async def test_setting_the_log_level_counts_as_a_request(tight: Inside) -> None:
    ada = tight.legacy("ada")
    await ada.open()
    replies = [await ada.request("logging/setLevel", {"level": "info"}) for _ in range(BURST)]
    assert [reply.reason for reply in replies] == [None] * (BURST - 1) + ["throttled"]
    assert error(replies[-1])["code"] == REFUSED


async def listening(inside: Inside, client: Modern, count: int) -> list[asyncio.Task[None]]:
    """Streams of one agent that are open."""
    tasks = [asyncio.create_task(client.listen([], asyncio.Event())) for _ in range(count)]
    await eventually(lambda: inside.gateway.door.modern.listen.open["ada"] == count, 5)
    return tasks


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_opening_a_stream_counts_as_a_request(tight: Inside) -> None:
    ada = tight.modern("ada")
    streams = await listening(tight, ada, BURST)
    assert (await ada.request("subscriptions/listen", {"notifications": {}})).reason == "throttled"
    await end(streams)


async def test_an_agent_may_have_so_many_streams_and_a_closed_one_makes_room(
    roomy: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.mcp_face.listen._STREAMS", 2)
    ada, bob = roomy.modern("ada"), roomy.modern("bob")
    streams = await listening(roomy, ada, 2)
    refused = error(await ada.request("subscriptions/listen", {"notifications": {}}))
    assert refused["code"] == REFUSED and "Too many open subscriptions" in refused["message"]
    others = [asyncio.create_task(bob.listen([], asyncio.Event()))]
    await eventually(lambda: roomy.gateway.door.modern.listen.open["bob"] == 1, 5)
    await end(streams[:1])
    await eventually(lambda: roomy.gateway.door.modern.listen.open["ada"] == 1, 5)
    again = asyncio.create_task(ada.listen([], asyncio.Event()))
    await eventually(lambda: roomy.gateway.door.modern.listen.open["ada"] == 2, 5)
    await end([*streams, *others, again])


async def test_more_subscriptions_than_a_stream_may_have_are_refused(roomy: Inside) -> None:
    wanted = {"notifications": {"resourceSubscriptions": [f"shop://{number}" for number in range(257)]}}
    refused = error(await roomy.modern("ada").request("subscriptions/listen", wanted))
    assert refused["code"] == -32602 and "256" in refused["message"]
    assert roomy.gateway.audience.subscribed() == set()


async def test_more_subscriptions_than_a_session_may_have_are_refused(
    roomy: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.mcp_face.legacy.MAX_URIS", 2)
    ada = roomy.legacy("ada")
    await ada.open()
    replies = [await ada.request("resources/subscribe", {"uri": f"shop://{number}"}) for number in range(3)]
    assert [reply.message.get("error", {}).get("code") for reply in replies] == [None, None, -32602]
    assert len(roomy.gateway.audience.subscribed()) == 2
    await ada.request("resources/unsubscribe", {"uri": "shop://0"})
    assert "result" in (await ada.request("resources/subscribe", {"uri": "shop://2"})).message


async def delete(client: Legacy) -> None:
    """End the client's session, as the client may."""
    async with client.session.delete(client.url, headers={**JSON, **client.headers, **client.extra}) as response:
        assert response.status == 200


async def test_what_opens_no_session_leaves_no_log_behind(roomy: Inside) -> None:
    ada = roomy.legacy("ada")
    await ada.open()
    face = roomy.legacy_face()
    for method in ("tools/list", "ping", "tools/call", "logging/setLevel"):
        assert (await opening(ada, method, {})).status == 400
    assert "error" in (await opening(ada, params={"protocolVersion": 7})).message
    lost = Legacy(ada.session, ada.url, ada.headers, {**ada.extra, "Mcp-Session-Id": "0" * 32})
    assert (await lost.request("ping", {})).status == 404
    assert list(face._logs) == [ada.extra["Mcp-Session-Id"]] and +face._sessions == {"ada": 1}
    await delete(ada)
    await eventually(lambda: not face._logs and not +face._sessions, 2)


async def test_an_agent_may_have_so_many_sessions_and_one_that_ended_makes_room(
    roomy: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [roomy.legacy("ada") for _ in range(2)]
    for client in clients:
        await client.open()
    monkeypatch.setattr("gateway.mcp_face.legacy._SESSIONS", 2)
    face = roomy.legacy_face()
    for _ in range(3):
        refused = error(await opening(roomy.legacy("ada")))
        assert refused["code"] == REFUSED and "Too many open sessions" in refused["message"]
    assert len(face._logs) == 2
    await roomy.legacy("bob").open()
    await delete(clients[0])
    await eventually(lambda: face._sessions["ada"] == 1, 2)
    await roomy.legacy("ada").open()


async def test_a_client_that_does_not_read_is_dropped_and_one_that_reads_hears_it_all(roomy: Inside) -> None:
    audience, streams = roomy.gateway.audience, roomy.gateway.door.modern.listen.open
    reading, asleep = roomy.modern("ada"), roomy.modern("bob")
    heard: list[str] = []
    ready, subscription = asyncio.Event(), {"notifications": {"toolsListChanged": True}}
    stream = asyncio.create_task(reading.listen(heard, ready))
    await asyncio.wait_for(ready.wait(), 5)
    headers, body = asleep.message("subscriptions/listen", subscription, "x" * 100_000)
    async with asleep.session.post(asleep.url, headers={**JSON, **headers}, data=body):  # and never reads
        await eventually(lambda: streams["bob"] == 1, 5)
        told = 0
        while streams["bob"] and told < 10_000:
            for _ in range(BATCH):
                audience.lists_changed("shop", frozenset({"tools"}), lambda agent: True)
            told += BATCH
            await eventually(lambda expected=1 + told: len(heard) == expected, 5)
        assert streams["bob"] == 0 and streams["ada"] == 1 and told > 1024
    await end([stream])
