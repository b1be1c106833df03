"""What passes through the gateway unchanged, whatever eras its client and its upstream speak."""

from __future__ import annotations

import asyncio
from typing import Any

import mcp.types as t
import pytest
from bridging_clients import Era, Raw, call, connected, text, until
from mcp import MCPError
from workbench import KINDS, PAGE, Bench
from workshop_tools import FAILED, RICH, TOOLS, VENDOR

pytestmark = [
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
    pytest.mark.parametrize("upstream", KINDS),
    pytest.mark.parametrize("era", ["legacy", "modern"]),
]

ENVELOPE = ("resultType", "ttlMs", "cacheScope")
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
VERSION = {"legacy": "2025-11-25", "modern": "2026-07-28", "stdio": "2025-11-25"}


def bare(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what an era puts around it."""
    kept = {key: value for key, value in result.items() if key not in ENVELOPE}
    if meta := {key: value for key, value in kept.pop("_meta", {}).items() if key != SERVER_INFO}:
        kept["_meta"] = meta
    return kept


async def pages(client: Any, request: Any, kind: str) -> list[list[dict[str, Any]]]:
    """All pages of a list, as they stand on the wire."""
    found: list[list[dict[str, Any]]] = []
    cursor: str | None = None
    while True:
        page = await client.session.send_request(request(params=t.PaginatedRequestParams(cursor=cursor)), Raw)
        result = page.model_dump()
        found.append(result[kind])
        if (cursor := result.get("nextCursor")) is None:
            return found


async def test_the_upstream_is_spoken_to_in_its_own_era(bench: Bench, era: Era, upstream: str, tag: str) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
        await call(client, "pay", {"amount": 1, "tag": tag})
    (started,) = bench.record(upstream).events("pay", tag, "started")
    assert started["version"] == VERSION[upstream]


async def test_tools_are_listed_in_pages_with_every_field(bench: Bench, era: Era, upstream: str) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
        listed = await pages(client, t.ListToolsRequest, "tools")
    tools = {tool["name"]: tool for page in listed for tool in page}
    rows = ["row", "bare_row"] if upstream == "modern" else []
    own = [name for name in tools if name.startswith("toolgate__")]
    assert list(tools) == [*(name for name in TOOLS if not name.startswith("hidden")), *rows, *own]
    assert all(("outputSchema" in tools[row]) == (era == "modern") for row in rows)
    assert [len(page) for page in listed[:-1]] == [PAGE] * (len(listed) - 1) and len(listed) > 1
    assert all(tools[name]["x-vendor"] == VENDOR["x-vendor"] for name in tools if name not in own)


async def test_a_result_arrives_as_it_was_sent(bench: Bench, era: Era, upstream: str, tag: str) -> None:
    meta = {"toolgate/run": "r-1", "toolgate/key": f"r-1/{tag}", "vendor.example/mine": {"a": None}}
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
        assert bare(await call(client, "rich", {"tag": tag}, **meta)) == RICH
        assert bare(await call(client, "fail")) == FAILED
    (started,) = bench.record(upstream).events("rich", tag, "started")
    assert {key: started["meta"].get(key) for key in meta} == meta


async def test_the_face_of_all_servers_carries_the_same_under_prefixed_names(
    bench: Bench, era: Era, upstream: str
) -> None:
    async with connected(bench.url(), bench.headers("ada"), era) as (client, _):
        assert bare(await call(client, f"{upstream}__rich")) == RICH
        prompt = await client.get_prompt(f"{upstream}__greet", {"who": "Ada"})
        assert prompt.messages[0].content.text == "Greet Ada."


async def test_resources_and_templates_are_listed_and_read(bench: Bench, era: Era, upstream: str) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
        (listed,) = await pages(client, t.ListResourcesRequest, "resources")
        assert [entry["uri"] for entry in listed] == [f"workshop://note/{number}" for number in (1, 2, 3)]
        ((template,),) = await pages(client, t.ListResourceTemplatesRequest, "resourceTemplates")
        assert template["uriTemplate"] == "workshop://note/{number}"
        for uri, held in (("workshop://note/1", "Note 1."), ("workshop://note/9", "Any note: workshop://note/9")):
            assert (await client.read_resource(uri)).contents[0].text == held
        with pytest.raises(MCPError) as failed:
            await client.read_resource("workshop://note/404")
        assert failed.value.error.data == {"uri": "workshop://note/404"}


async def test_prompts_are_listed_got_and_completed(bench: Bench, era: Era, upstream: str) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
        (prompts,) = await pages(client, t.ListPromptsRequest, "prompts")
        assert prompts[0] == {"name": "greet", "arguments": [{"name": "who", "required": True}]}
        argument = {"name": "who", "value": "ad"}
        for ref in (t.PromptReference(name="greet"), t.ResourceTemplateReference(uri="workshop://note/{number}")):
            assert (await client.complete(ref, argument)).completion.values == ["ada", "adam"]


async def test_progress_comes_in_order_under_the_callers_own_token(bench: Bench, era: Era, upstream: str) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, heard):
        steps: list[float] = []

        async def other(progress: float, total: float | None, message: str | None) -> None:
            steps.append(progress)

        await asyncio.gather(
            client.call_tool("report", progress_callback=heard.on_progress),
            client.call_tool("report", progress_callback=other),
            client.call_tool("report"),
        )
        await until(lambda: len(heard.progress) == len(steps) == 5)
    assert heard.progress == [(step, 5, f"step {step}") for step in range(1, 6)]
    assert steps == [1, 2, 3, 4, 5]


async def test_a_call_the_client_gives_up_is_cancelled_in_the_tool(
    bench: Bench, era: Era, upstream: str, tag: str
) -> None:
    record = bench.record(upstream)
    async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
        waiting = asyncio.create_task(call(client, "wait", {"tag": tag}))
        await until(lambda: record.events("wait", tag, "started"))
        waiting.cancel()
        await until(lambda: record.events("wait", tag, "cancelled"))
        assert text(await call(client, "pay", {"amount": 2})) == "Paid 2."


async def test_a_client_that_vanishes_cancels_what_it_had_running(
    bench: Bench, era: Era, upstream: str, tag: str
) -> None:
    record = bench.record(upstream)

    async def stay() -> None:
        async with connected(bench.url(upstream), bench.headers("ada"), era) as (client, _):
            await call(client, "wait", {"tag": tag})

    staying = asyncio.create_task(stay())
    await until(lambda: record.events("wait", tag, "started"))
    staying.cancel()
    await until(lambda: record.events("wait", tag, "cancelled"))


@pytest.mark.parametrize(("level", "told"), [(None, []), ("info", ["info", "error"]), ("emergency", [])])
async def test_logs_come_from_the_level_on_that_was_asked_for(
    bench: Bench, era: Era, upstream: str, level: Any, told: list[str], tag: str
) -> None:
    async with connected(bench.url(upstream), bench.headers("ada"), era, log_level=level) as (client, heard):
        if era == "legacy" and level is not None:
            await client.set_logging_level(level)
        await call(client, "log", {"tag": tag})
    if era == "legacy" and level is None:
        told = ["debug", "info", "error"]  # a legacy server may tell what it likes until it is told otherwise
    assert heard.logs == [(name, {"tag": tag, "nothing": None}) for name in told]
