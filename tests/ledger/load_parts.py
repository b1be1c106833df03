"""Mixed calls of many callers, and what must agree afterwards: what ran, what is recorded and what was answered."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from ledger_parts import POLICIES, digests
from raw_client import Reply
from recorder import Shop


class Caller(Protocol):
    """An agent that makes calls, wherever it sends them."""

    async def call(self, tool: str, arguments: Mapping[str, Any], **meta: Any) -> Reply: ...


FINAL = {None, "budget_exceeded", "outcome_unknown"}
"""What a caller that spends need not ask about again; None: it was answered by the tool."""
ONCE = ("note", "pay")
"""Tools that are not idempotent."""
KINDS = ("note keyed", "note plain", "note run", "look keyed", "look plain", "pay keyed")

AGAIN = ("upstream_unreachable", "not_found", "in_flight")
"""Reasons of refusals that pass: the call is made again, where it may be."""

POLICY = {
    "worker.toml": POLICIES["worker.toml"].replace("shop/*", "shop/note")
    + '[[allow]]\ntool = "shop/look"\n'
    + '[[allow]]\ntool = "shop/pay"\nbudget = [{ sum = "amount", max = 1000000000, per = "day" }]\n'
}


@dataclass
class Load:
    """What callers were told: texts that were answered, with the answer, and reasons of refusals."""

    agent: Caller
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    reasons: Counter[str | None] = field(default_factory=Counter)
    ended: int = 0

    async def caller(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            tool, kind = KINDS[number % len(KINDS)].split()
            text = f"{tool}-{kind}-{number}"
            arguments = {"text": text, "amount": number % 7, "delay": random.choice([0, 0.002, 0.02])}
            meta = {"toolgate/key": text} if kind == "keyed" else {"toolgate/run": f"r-{number % 9}"}
            await self._until_told(tool, text, arguments, meta if kind != "plain" else {})
            self.ended += 1

    async def _until_told(self, tool: str, text: str, arguments: dict[str, Any], meta: dict[str, str]) -> None:
        """Call; when nothing comes back, a call that has a key, or is idempotent, is made again."""
        while True:
            with suppress(aiohttp.ClientError):
                reply = await self.agent.call(f"shop__{tool}", arguments, **meta)
                if reply.status == 200 and reply.reason not in AGAIN:
                    self.reasons[reply.reason] += 1
                    if reply.ok:
                        assert reply.text == text
                        self.answers[text] = reply.result
                    return
            if tool in ONCE and "toolgate/key" not in meta:
                return
            await asyncio.sleep(0.05)


def check(events: Sequence[Mapping[str, Any]], ran: Counter[str], load: Load) -> None:
    """What ran, what is recorded in `events` and what was answered agree."""
    texts = {
        event["call"]: json.loads(event["data"])["arguments"]["text"] for event in events if event["kind"] == "intent"
    }
    outcomes = {event["call"]: json.loads(event["data"]) for event in events if event["kind"] == "outcome"}
    assert ran.keys() <= set(texts.values()), "ran without a durable intent"
    assert texts.keys() == outcomes.keys(), "every intent has its outcome"
    twice = [text for text, times in ran.items() if times > 1 and text.startswith(ONCE)]
    assert not twice, "ran twice"
    recorded: dict[str, set[str]] = {}
    for call, outcome in outcomes.items():
        if outcome["outcome"] == "ok":
            recorded.setdefault(texts[call], set()).add(outcome["result"])
    for text, answer in load.answers.items():
        assert text in ran and recorded[text] & digests(answer), text
    doubted = {texts[call] for call, outcome in outcomes.items() if outcome["outcome"] == "unknown"}
    lost = {text for text in ran if text.startswith(ONCE)} - recorded.keys()
    assert lost <= doubted, "ran, and nobody asks whether it did"


def spent(shop: Shop) -> int:
    """The sum of what the tool really did."""
    return sum(int(line["text"]) for line in shop.executions())


async def spend(agent: Caller, numbers: Iterator[int], amounts: list[int], ended: dict[int, str | None]) -> None:
    """Spend one after the other, each until it is told how that ended."""
    for number in numbers:
        arguments = {"text": str(amounts[number]), "amount": amounts[number], "delay": 0.02}
        meta = {"toolgate/key": f"s-{number}", "toolgate/run": "race"}
        while number not in ended:
            with suppress(aiohttp.ClientError):
                reply = await agent.call("shop__pay", arguments, **meta)
                if reply.status == 200 and reply.reason in FINAL:
                    ended[number] = reply.reason
            await asyncio.sleep(0 if number in ended else 0.05)
