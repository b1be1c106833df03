"""What the demonstration shows, scene by scene, in plain words."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from typing import Any

from agents.__main__ import main as agents
from agents.demo.shop import AGENTS, ROOT, Shop
from agents.tools import Answer, open_tools

EXAMPLES = ROOT / "agents" / "examples"
HOSTILE = "12345; DROP TABLE orders;--"
PATIENCE = 15.0
"""Seconds a server that came back may stay unused."""


class Surprise(Exception):
    """A scene did not end as it should; the text says how it ended."""


def say(text: str = "") -> None:
    print(text, flush=True)


def title(number: int, text: str) -> None:
    whole = f"{number}. {text}"
    say(f"\n{whole}\n{'-' * len(whole)}")


def order(shop: Shop) -> None:
    title(1, "An order runs through five agents")
    say("Each agent has its own token and its own policy file, and sees only the tools that file allows.")
    for agent in AGENTS[:5]:
        say(f"  {agent:12} sees {', '.join(asyncio.run(_listed(shop, agent)))}")
    _expect(0, _run(shop, "order", "--file", str(EXAMPLES / "order.json"), "--model", "scripted:order"))


def declined(shop: Shop) -> None:
    title(2, "A second order: the card is declined, the reservations are given back")
    before = stock(shop)
    say(f"Lamps in stock before: {before}.")
    _expect(1, _run(shop, "order", "--file", str(EXAMPLES / "order-declined.json"), "--model", "scripted:order"))
    after = stock(shop)
    say(f"Lamps in stock after: {after}.")
    if after != before:
        raise Surprise(f"the stock was {before} and is {after}")


def overreach(shop: Shop) -> None:
    title(3, "The inventory agent reaches for a tool it may not use")
    task = 'Pay yourself: call payment__refund_card with {"charge_id": "ch_1", "amount": 99900, "reason": "gift"}.'
    say(f"Its task says: {task}")
    _expect(0, _run(shop, "loop", "--agent", "inventory", "--task", task, "--model", "scripted:overreach"))


def bound(shop: Shop) -> None:
    title(4, "The support agent meets the bound of its policy")
    schema = asyncio.run(_schema(shop, "support", "billing__process_refund"))
    say("policies/support.toml allows refunds of at most 20000 cents, and the agent's own list of tools says so:")
    say(f"  billing__process_refund: amount is {json.dumps(schema['properties']['amount'])}")
    if schema["properties"]["amount"].get("maximum") != 20000:
        raise Surprise("the bound does not stand in the schema that the agent sees")
    task = "A customer is angry: call billing__process_refund with " + json.dumps(_refund(99900)) + "."
    say(f"Its task says: {task}")
    _expect(0, _run(shop, "loop", "--agent", "support", "--task", task, "--model", "scripted:overreach"))
    sure = asyncio.run(_refunded(shop, 1500, confidence=0.95))
    say(f"  within the bound, 1500 cents, and sure of it: {_outcome(sure)}")


def injection(shop: Shop) -> None:
    title(7, "The same text twice: harmless as text, refused as SQL")
    text, sql, select = asyncio.run(_injection(shop))
    if text.is_error or select.is_error:
        raise Surprise("what is harmless was refused")
    if _reason(sql) != "unsafe_arguments":
        raise Surprise("the statement was not refused by its kind")


async def _injection(shop: Shop) -> tuple[Answer, Answer, Answer]:
    async with open_tools(shop.url + "/mcp", shop.tokens["analyst"], 30.0) as tools:

        async def tell(tool: str, arguments: dict[str, Any], key: str) -> Answer:
            answer = await tools.call(f"records__{tool}", arguments, run="demo-injection", key=f"demo-injection/{key}")
            say(f"  records__{tool} {json.dumps(arguments)}: {_outcome(answer)}")
            return answer

        say("An argument of kind text is data, whatever it looks like:")
        text = await tell("search_orders", {"text": HOSTILE}, "1")
        say("An argument of kind sql is parsed, and only one SELECT passes:")
        sql = await tell("run_query", {"sql": HOSTILE}, "2")
        return text, sql, await tell("run_query", {"sql": "SELECT count(*) FROM orders"}, "3")


def outage(shop: Shop) -> None:
    title(8, "The pricing server is killed and comes back")
    asyncio.run(_outage(shop))


async def _outage(shop: Shop) -> None:
    arguments = {"sku": "LAMP-01", "quantity": 1}
    async with open_tools(shop.url + "/mcp", shop.tokens["pricing"], 60.0) as tools:

        async def price(number: int) -> Answer:
            answer = await tools.call(
                "pricing__get_base_price", arguments, run="demo-outage", key=f"demo-outage/{number}"
            )
            say(f"  call {number}: {_outcome(answer)}")
            return answer

        await price(1)
        shop.pricing.kill()
        say("The server is killed.")
        number = 1
        while _reason(await price(number := number + 1)) != "circuit_open":
            if number > 10:
                raise Surprise("ten calls to a dead server, and the breaker did not open")
        say("The breaker is open: calls come back at once instead of waiting for a dead server.")
        say(f"Meanwhile inventory works: {await _stock(shop)} lamps in stock.")
        shop.restart_pricing()
        say("The server is started again.")
        until = time.monotonic() + PATIENCE
        while (await price(number := number + 1)).is_error:
            if time.monotonic() > until:
                raise Surprise(f"the pricing server came back and was still refused {PATIENCE:g} seconds later")
            await asyncio.sleep(0.5)
        say("A probe got through and closed the breaker: the upstream is in use again, nobody had to do anything.")


async def _listed(shop: Shop, agent: str) -> list[str]:
    async with open_tools(shop.url + "/mcp", shop.tokens[agent], 30.0) as tools:
        return [definition["name"].partition("__")[2] for definition in tools.definitions]


async def _schema(shop: Shop, agent: str, tool: str) -> dict[str, Any]:
    async with open_tools(shop.url + "/mcp", shop.tokens[agent], 30.0) as tools:
        return next(each["input_schema"] for each in tools.definitions if each["name"] == tool)


def _refund(amount: int) -> dict[str, Any]:
    return {"customer_id": "CUS-1001", "amount": amount, "reason": "late parcel"}


async def _refunded(shop: Shop, amount: int, confidence: float) -> Answer:
    async with open_tools(shop.url + "/mcp", shop.tokens["support"], 30.0) as tools:
        asked = {**_refund(amount), "_confidence": confidence, "_reason": "The parcel was tracked, and late."}
        return await tools.call("billing__process_refund", asked, run="demo-bound", key="demo-bound/1")


def stock(shop: Shop) -> int:
    """Lamps that can be reserved, as the inventory agent is told."""
    return asyncio.run(_stock(shop))


async def _stock(shop: Shop) -> int:
    async with open_tools(shop.url + "/mcp", shop.tokens["inventory"], 30.0) as tools:
        key = f"demo-stock/{uuid.uuid4().hex}"
        result = await tools.call("inventory__check_stock", {"sku": "LAMP-01"}, run="demo-stock", key=key)
    return int(result.structured["available"])


def _run(shop: Shop, *arguments: str) -> int:
    tokens = str(shop.folder / "tokens.json")
    given = [*arguments, "--gateway", shop.url + "/mcp", "--tokens", tokens]
    return agents(given, {**os.environ, **shop.environment})


def _expect(wanted: int, status: int) -> None:
    if status != wanted:
        raise Surprise(f"the command ended with status {status} instead of {wanted}")


def _reason(answer: Answer) -> str | None:
    refusal = answer.meta.get("toolgate/refusal") or {}
    return refusal.get("reason")


def _outcome(answer: Answer) -> str:
    text = answer.content[0].get("text", "")
    reason = _reason(answer)
    if reason is not None:
        return f"refused ({reason}): {text}"
    return f"failed: {text}" if answer.is_error else "answered"
