"""Every id of one agent is worth nothing to another: the very answer that an id gets which nobody ever gave out."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from isolation_parts import ERAS, Square, square
from raw_client import Legacy, Modern, Reply, eventually, pool

pytestmark = pytest.mark.timeout(240)

APPROVALS = "[approvals]\nhold = 0.1\nprogress = 5\n"
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {"form": {}}}
WITH_TASKS = {"io.modelcontextprotocol/clientCapabilities": TASKS}
ABSENT_TICKET = "aaaaaaaaaaaaaaaa"
ABSENT = "0123456789abcdef0123456789abcdef"
VARYING = re.compile(rb'"call": ?"[0-9a-f]{32}"|\[call [0-9a-f]{32}\]|id: [0-9a-f]+-\d+')
"""What differs from one answer to the next, whoever asks: the call's own id, and those of a stream's events."""
ROUNDS = 30

Ask = Callable[[str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Meeting:
    """Ada has the ids; bob tries them."""

    place: Square
    ada: Modern
    bob: Modern
    ada_legacy: Legacy
    bob_legacy: Legacy


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Square]:
    with square(tmp_path_factory.mktemp("ids"), request.param, ["ada", "bob"], APPROVALS) as made:
        yield made


@pytest.fixture
async def meeting(place: Square) -> AsyncIterator[Meeting]:
    async with pool() as session:
        url = place.gateway.url()
        clients = [kind(session, url, place.headers[agent]) for kind in (Modern, Legacy) for agent in ("ada", "bob")]
        for client in clients[2:]:
            await client.open(elicitation={})
        yield Meeting(place, *clients)


def plain(reply: Reply, identity: str) -> tuple[int, bytes]:
    """An answer without the id that was asked for, and without what differs each time."""
    return reply.status, VARYING.sub(b"~", reply.raw.replace(identity.encode(), b"ID"))


async def same(ask: Ask, theirs: str, absent: str) -> Reply:
    """Both answers are alike, and neither takes grossly longer; the one about the other agent's id."""
    foreign, none = await ask(theirs), await ask(absent)
    assert plain(foreign, theirs) == plain(none, absent)
    assert not foreign.ok or b"error" in foreign.raw
    times: dict[str, list[float]] = {theirs: [], absent: []}
    for _ in range(ROUNDS):
        for identity, taken in times.items():
            begun = time.perf_counter()
            await ask(identity)
            taken.append(time.perf_counter() - begun)
    known, unknown = (statistics.median(taken) for taken in times.values())
    assert max(known, unknown) < 3 * min(known, unknown) + 0.02, (known, unknown)
    return foreign


async def ticket_of(client: Modern, text: str) -> str:
    """A ticket of this agent that is pending."""
    reply = await client.call("new__pay", {"text": text})
    return str(reply.result["_meta"]["toolgate/pending"])


async def test_the_ticket_of_another_is_none(meeting: Meeting) -> None:
    ticket = await ticket_of(meeting.ada, "waits")
    for bob in (meeting.bob, meeting.bob_legacy):

        async def ask(identity: str, bob: Modern | Legacy = bob) -> Reply:
            return await bob.call("toolgate__await_approval", {"ticket": identity})

        reply = await same(ask, ticket, ABSENT_TICKET)
        assert reply.reason == "ticket_unknown"
    own = await meeting.ada.call("toolgate__await_approval", {"ticket": ticket})
    assert own.result["_meta"]["toolgate/pending"] == ticket


async def test_the_task_of_another_is_none(meeting: Meeting) -> None:
    created = (await meeting.ada.call("new__pay", {"text": "task"}, **WITH_TASKS)).result
    task = created["taskId"]
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):

        async def ask(identity: str, method: str = method) -> Reply:
            fields = {"taskId": identity, "inputResponses": {}}
            return await meeting.bob.request(method, fields, **WITH_TASKS)

        await same(ask, task, ABSENT_TICKET)
    still = (await meeting.ada.request("tasks/get", {"taskId": task}, **WITH_TASKS)).result
    assert still["status"] == "working"
    assert await acknowledged(meeting.bob, task) == await acknowledged(meeting.bob, ABSENT_TICKET) == []
    assert await acknowledged(meeting.ada, task) == [task]


async def acknowledged(client: Modern, task: str) -> list[str]:
    """Of which tasks a `subscriptions/listen` stream would tell."""
    headers, body = client.message("subscriptions/listen", {"notifications": {"taskIds": [task]}}, 1, **WITH_TASKS)
    accept = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    async with client.session.post(client.url, headers={**accept, **headers}, data=body) as response:
        async for line in response.content:
            if line.startswith(b"data:"):
                return list(json.loads(line[5:])["params"]["notifications"].get("taskIds", []))
    raise AssertionError("the stream ended")


async def test_the_run_of_another_is_none(meeting: Meeting) -> None:
    """What bob does to a run of ada's name is done to a run of his own, which is empty."""
    lease = {"toolgate/run": "run of ada", "toolgate/lease": 3600}
    assert (await meeting.ada.call("new__cry", {"text": "a step"}, **lease)).ok
    for tool, fields in (("mark_run", {"state": "finished"}), ("rollback", {}), ("mark_run", {"state": "failed"})):

        async def ask(run: str, tool: str = tool, fields: dict[str, Any] = fields) -> Reply:
            return await meeting.bob.call(f"toolgate__{tool}", {**fields, "run": run})

        foreign, none = await ask("run of ada"), await ask("no such run")
        assert plain(foreign, "run of ada") == plain(none, "no such run"), tool
    assert (await meeting.ada.call("new__cry", {"text": "another step"}, **lease)).ok
    marked = await meeting.ada.call("toolgate__mark_run", {"state": "finished", "run": "run of ada"})
    assert marked.ok, marked


async def test_the_key_of_another_finds_nothing(meeting: Meeting) -> None:
    for server in ERAS:
        key = {"toolgate/key": f"key of ada at {server}"}
        mine = await meeting.ada.call(f"{server}__cry", {"text": f"ada at {server}"}, **key)
        theirs = await meeting.bob.call(f"{server}__cry", {"text": f"bob at {server}"}, **key)
        again = await meeting.ada.call(f"{server}__cry", {"text": f"ada at {server}"}, **key)
        assert (mine.text, theirs.text, again.text) == (f"ada at {server}", f"bob at {server}", f"ada at {server}")
    ran = meeting.place.ran()
    assert {ran[f"{agent} at {server}"] for agent in ("ada", "bob") for server in ERAS} == {1}


@pytest.mark.parametrize("server", ["old", "new"])
async def test_the_state_of_anothers_parked_call_is_worth_what_a_made_up_one_is(meeting: Meeting, server: str) -> None:
    """A legacy upstream: the call is parked here. A modern one: its state is sealed and carried by the client."""
    text = f"parked at {server}"
    asked = {"name": f"{server}__cry", "arguments": {"text": text, "ask": True}}
    waits = (await meeting.ada.request("tools/call", asked)).result
    state, names = waits["requestState"], [*waits["inputRequests"]]
    made_up = f"parked.{ABSENT}" if server == "old" else state[:-4] + ("AAAA" if state[-4:] != "AAAA" else "BBBB")

    def answering(client: Modern) -> Ask:
        async def ask(state: str) -> Reply:
            answers = {name: {"action": "accept", "content": {"echo": text}} for name in names}
            return await client.request("tools/call", {**asked, "inputResponses": answers, "requestState": state})

        return ask

    reply = await same(answering(meeting.bob), state, made_up)
    assert reply.status == 400 and meeting.place.ran()[text] == 0
    assert (await answering(meeting.ada)(state)).text == text
    assert meeting.place.ran()[text] == 1


async def test_the_session_and_the_stream_of_another_are_none(meeting: Meeting) -> None:
    ada, bob = meeting.ada_legacy, meeting.bob_legacy
    event = await first_event(ada)

    async def ask(session: str) -> Reply:
        thief = Legacy(bob.session, bob.url, bob.headers, {**bob.extra, "Mcp-Session-Id": session})
        return await thief.request("tools/list", {})

    assert (await same(ask, ada.extra["Mcp-Session-Id"], ABSENT)).status == 404
    # On a session of his own bob asks for what came after an event of ada's, and of one that never was.
    accept = {"Accept": "text/event-stream"}
    told = []
    for last in (event, "0123456789abcdef-1"):
        headers = {**accept, **bob.headers, **bob.extra, "Last-Event-ID": last}
        async with bob.session.get(bob.url, headers=headers) as response:
            told.append((response.status, VARYING.sub(b"~", await first_bytes(response))))
    assert told[0] == told[1] and b"private" not in told[0][1]


async def first_event(client: Legacy) -> str:
    """The id of an event on the stream of a call of this session."""
    reply = await client.call("new__cry", {"text": "private"})
    found = re.search(rb"id: ([0-9a-f]+-\d+)", reply.raw)
    assert found, reply
    return found[1].decode()


async def first_bytes(response: Any) -> bytes:
    """What comes within a second; the stream stays open when it is one."""
    came = b""
    try:
        async with asyncio.timeout(1):
            async for line in response.content:
                came += line
    except TimeoutError:
        pass
    return came


async def test_another_session_can_neither_answer_nor_cancel_what_runs(meeting: Meeting) -> None:
    """Ids of requests are numbers that anybody guesses: each session has its own."""
    ada, bob = meeting.ada_legacy, meeting.bob_legacy
    asked = asyncio.Event()
    question: list[Any] = []
    accept = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    params = {"name": "old__cry", "arguments": {"text": "undisturbed", "ask": True}}
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}).encode()

    async def calling() -> bytes:
        came = b""
        async with ada.session.post(ada.url, headers={**accept, **ada.headers, **ada.extra}, data=body) as response:
            async for line in response.content:
                came += line
                if line.startswith(b"data:") and b"elicitation/create" in line:
                    question.append(json.loads(line[5:])["id"])
                    asked.set()
        return came

    async def send(client: Legacy, **message: Any) -> int:
        headers = {**accept, **client.headers, **client.extra}
        sent = json.dumps({"jsonrpc": "2.0", **message}).encode()
        async with client.session.post(client.url, headers=headers, data=sent) as response:
            return int(response.status)

    call = asyncio.create_task(calling())
    await asyncio.wait_for(asked.wait(), 30)
    forged = {"action": "accept", "content": {"echo": "forged"}}
    for identity in (question[0], 7):
        assert await send(bob, id=identity, result=forged) == 202
        assert await send(bob, method="notifications/cancelled", params={"requestId": identity}) == 202
    await asyncio.sleep(0.3)
    assert not call.done()
    assert await send(ada, id=question[0], result={"action": "accept", "content": {"echo": "ada's own"}}) == 202
    came = await asyncio.wait_for(call, 30)
    assert b"undisturbed" in came and b"forged" not in came
    await eventually(lambda: meeting.place.ran()["undisturbed"] == 1, 5)
    (line,) = [each for each in meeting.place.lines() if each["text"] == "undisturbed"]
    assert line["answer"] == "ada's own"
