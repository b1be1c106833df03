"""Two hundred agents whose calls are alike in everything but a word: each hears its own word, whoever says it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from isolation_parts import ERAS, Square, square
from raw_client import LEGACY, MODERN, Legacy, Modern, pool

LONG = bool(os.environ.get("TOOLGATE_LONG"))
AGENTS = [f"a{number:03}" for number in range(200)]
CALLS = {"sqlite": 100_000 if LONG else 2_000, "postgresql": 20_000 if LONG else 1_000}
"""In all, by the kind of database."""
IN_FLIGHT = 2
"""Calls of one agent at once; all agents are at it at once."""
AT_ONCE = 60
"""Calls of all agents: more than that, and a slow machine refuses some because their events are not written in time."""
KEYED = 4
"""Each so many-th call has a key."""
ASKING = 5
"""Each so many-th call asks its client something, but over stdio: there nothing says which call a question is about."""
LISTENING = 20
"""So many agents hold a stream open meanwhile, on which nothing is to be heard."""
WORD = re.compile(rb"word\.a\d{3}\.[0-9a-f]{16}\.\d+")
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
INFO = {"io.modelcontextprotocol/logLevel": "info"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Square]]:
    throttle = "[throttle]\nper_second = 100000\nburst = 100000\n"
    with square(tmp_path_factory.mktemp("crowd"), request.param, AGENTS, throttle) as made:
        yield request.param, made


class Unanswered(Exception):
    """The gateway could not write an event in time, as on a machine with too much to do: it said so, and no more."""


@dataclass(slots=True)
class Agent:
    """One agent of either era. `words` are what it had cried and heard, `lost` what it was not answered about; `heard`
    counts what reached it by its way.
    """

    name: str
    client: Modern | Legacy
    words: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    heard: Counter[str] = field(default_factory=Counter)

    async def cry(self, number: int) -> None:
        """One call; ids, keys, runs and tokens are those of everybody's call of this number."""
        word = f"word.{self.name}.{secrets.token_hex(8)}.{number}"
        asks = asking(number)
        arguments = {"text": word, "ask": asks, "delay": 0.01}
        named = {"name": f"{server_of(number)}__cry", "arguments": arguments}
        meta = {"toolgate/run": f"run {number}", "progressToken": number}
        meta |= {"toolgate/key": f"key {number}"} if number % KEYED == 1 else {}
        try:
            result = await self.spoken(number, named, meta, word)
        except Unanswered:
            self.lost.append(word)
            return
        assert not result.get("isError"), result
        assert result["structuredContent"] == {"said": word, "answer": word if asks else None}
        assert result["content"] == [{"type": "text", "text": word}]
        self.words.append(word)

    async def spoken(self, number: int, named: dict[str, Any], meta: dict[str, Any], word: str) -> dict[str, Any]:
        client = self.client
        if isinstance(client, Legacy):
            params = {**named, "_meta": meta}
            body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            return await self.exchange({**JSON, **client.headers, **client.extra}, json.dumps(body).encode(), word)
        headers, sent = client.message("tools/call", named, number, **meta, **INFO)
        result = await self.exchange({**JSON, **headers}, sent, word)
        if result.get("resultType") == "input_required":
            self.heard["question"] += 1
            assert [each["params"]["message"] for each in result["inputRequests"].values()] == [word]
            answers = {name: {"action": "accept", "content": {"echo": word}} for name in result["inputRequests"]}
            again = {**named, "inputResponses": answers, "requestState": result["requestState"]}
            headers, sent = client.message("tools/call", again, number, **meta, **INFO)
            result = await self.exchange({**JSON, **headers}, sent, word)
        return result

    async def exchange(self, headers: dict[str, str], body: bytes, word: str) -> dict[str, Any]:
        """The result of one POST. Whatever comes meanwhile is of this call, and names its word only."""
        number, answer = json.loads(body)["id"], dict[str, Any]()
        async with self.client.session.post(self.client.url, headers=headers, data=body) as response:
            assert response.status in (200, 503), await response.text()
            async for line in response.content:
                assert {*WORD.findall(line)} <= {word.encode()}, (word, line)
                message = told(line)
                if "method" not in message:
                    answer = message or answer
                elif message["method"] == "elicitation/create":
                    assert message["params"]["message"] == word
                    await self.reply(headers, message["id"], word)
                else:
                    self.heard[message["method"]] += 1
                    if message["method"] == "notifications/progress":
                        assert message["params"]["progressToken"] == number
        if (answer.get("error", {}).get("data") or {}).get("reason") == "unrecorded":
            raise Unanswered
        assert answer.get("id") == number and "result" in answer, answer
        return dict(answer["result"])

    async def reply(self, headers: dict[str, str], identity: Any, word: str) -> None:
        self.heard["question"] += 1
        result = {"action": "accept", "content": {"echo": word}}
        body = json.dumps({"jsonrpc": "2.0", "id": identity, "result": result}).encode()
        async with self.client.session.post(self.client.url, headers=headers, data=body) as response:
            assert response.status == 202

    async def overhear(self) -> None:
        """Hold a stream open until cancelled: nothing of any call belongs on it."""
        client, long = self.client, aiohttp.ClientTimeout(None)
        if isinstance(client, Legacy):
            headers = {**JSON, **client.headers, **client.extra}
            request = client.session.get(client.url, headers=headers, timeout=long)
        else:
            wanted = {"notifications": {"toolsListChanged": True}}
            headers, body = client.message("subscriptions/listen", wanted, 0)
            request = client.session.post(client.url, headers={**JSON, **headers}, data=body, timeout=long)
        async with request as response:
            assert response.status == 200
            async for line in response.content:
                assert not WORD.findall(line), line


def server_of(number: int | str) -> str:
    return [*ERAS][int(number) % len(ERAS)]


def asking(number: int | str) -> bool:
    return int(number) % ASKING == 0 and server_of(number) != "pipe"


def told(line: bytes) -> dict[str, Any]:
    """The message in a line of an answer, JSON or SSE; empty when there is none."""
    text = line.removeprefix(b"data:").strip()
    return dict(json.loads(text)) if text[:1] == b"{" else {}


async def joined(session: aiohttp.ClientSession, crowd: Square, position: int, name: str) -> Agent:
    client = (Modern, Legacy)[position % 2](session, crowd.gateway.url(), crowd.headers[name])
    if isinstance(client, Legacy):
        await client.open(elicitation={})
        await client.request("logging/setLevel", {"level": "info"})
    return Agent(name, client)


@pytest.mark.timeout(3600 if LONG else 300)
async def test_nobody_hears_a_word_of_anybody_else(crowd: tuple[str, Square]) -> None:
    kind, place = crowd
    each = CALLS[kind] // len(AGENTS)
    turn = asyncio.Semaphore(AT_ONCE)
    async with pool() as session:
        agents = await asyncio.gather(*(joined(session, place, *given) for given in enumerate(AGENTS)))
        streams = [asyncio.create_task(agent.overhear()) for agent in agents[:LISTENING]]

        async def crying(agent: Agent) -> None:
            todo = iter(range(each))

            async def caller() -> None:
                for number in todo:
                    async with turn:
                        await agent.cry(number)

            await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))

        await asyncio.gather(*(crying(agent) for agent in agents))
        assert not [stream.exception() for stream in streams if stream.done()]
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    judge(place, agents)
    assert sum(len(agent.words) + len(agent.lost) for agent in agents) == CALLS[kind]
    assert sum(len(agent.words) for agent in agents) > CALLS[kind] * 0.8


def judge(place: Square, agents: list[Agent]) -> None:
    """By what the criers wrote down: each word was cried once, for the run and the key that it was sent with."""
    lost = {word for agent in agents for word in agent.lost}
    ran = place.ran()
    assert {word: times for word, times in ran.items() if word not in lost} == Counter(
        word for agent in agents for word in agent.words
    )
    assert {ran[word] for word in lost} <= {0, 1}
    for line in place.lines():
        number = line["text"].rpartition(".")[2]
        assert line["run"] == f"run {number}"
        assert line["key"] == (f"key {number}" if int(number) % KEYED == 1 else None)
        assert line["answer"] == (line["text"] if asking(number) else None)
    for agent in agents:
        numbers, most = [word.rpartition(".")[2] for word in agent.words], len(agent.words) + len(agent.lost)
        assert sum(map(asking, numbers)) <= agent.heard["question"] <= most
        assert len(numbers) <= agent.heard["notifications/progress"] <= most
        # Over stdio nothing says which call a log message is about either: it is passed on when there is only one.
        told_surely = sum(server_of(number) != "pipe" for number in numbers)
        assert told_surely <= agent.heard["notifications/message"] <= most


def test_both_eras_are_there() -> None:
    assert {LEGACY, MODERN} == {"2025-11-25", "2026-07-28"} and {*ERAS.values()} == {"legacy", "modern"}
