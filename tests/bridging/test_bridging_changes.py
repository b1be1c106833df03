"""News of an upstream reaches clients of both eras, and only agents whom it concerns."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from bridging_clients import Era, call, connected, text, until
from mcp import MCPError
from workbench import KINDS, Bench

pytestmark = [
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
    pytest.mark.parametrize("upstream", KINDS),
]
NOTE = "workshop://note/1"
each_era = pytest.mark.parametrize("era", ["legacy", "modern"])


@asynccontextmanager
async def hearing(
    bench: Bench, agent: str, face: str | None, era: Era, uri: str | None = None
) -> AsyncIterator[tuple[Any, list[str]]]:
    """A client and what it hears: `tools`, `resources` or `prompts` for a list that changed, or a resource's URI."""
    heard: list[str] = []
    async with connected(bench.url(face), bench.headers(agent), era) as (client, seen), AsyncExitStack() as stack:
        if era == "modern":
            listening = client.listen(
                tools_list_changed=True,
                resources_list_changed=True,
                prompts_list_changed=True,
                resource_subscriptions=[uri] if uri else [],
            )
            following = asyncio.create_task(_follow(await stack.enter_async_context(listening), heard))
            stack.callback(following.cancel)
        else:
            seen.notices = _Words(heard)
            if uri:
                await client.subscribe_resource(uri)
        yield client, heard


class _Words(list[str]):
    """Takes methods of notifications and keeps what they are about."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self.heard = heard

    def append(self, method: str) -> None:
        self.heard.append(NOTE if method.endswith("updated") else method.split("/")[1])


async def _follow(events: Any, heard: list[str]) -> None:
    async for event in events:
        kind = type(event).__name__
        heard.append(event.uri if kind == "ResourceUpdated" else kind.removesuffix("ListChanged").lower())


@each_era
@pytest.mark.parametrize("kind", ["tools", "resources", "prompts"])
async def test_a_list_that_changed_is_announced_and_is_new_by_then(
    bench: Bench, era: Era, upstream: str, kind: str
) -> None:
    async with hearing(bench, "ada", upstream, era) as (client, heard):
        before = await names(client, kind)
        for after in ({"spare"} | before, before):
            await call(client, "change", {"kind": kind})
            await until(lambda: heard == [kind])
            assert await names(client, kind) == after
            heard.clear()


@each_era
async def test_the_face_of_all_servers_is_told_and_those_it_does_not_concern_are_not(
    bench: Bench, era: Era, upstream: str
) -> None:
    other = "modern" if upstream != "modern" else "legacy"
    async with (
        hearing(bench, "ada", None, era) as (_, whole),
        hearing(bench, "ada", other, era) as (_, elsewhere),
        hearing(bench, "cleo", None, era) as (_, stranger),
        hearing(bench, "bob", upstream, era) as (bob, concerned),
    ):
        for _ in range(2):
            await call(bob, "change", {"kind": "prompts"})
            await until(lambda: set(whole) == set(concerned) == {"prompts"})
            whole.clear()
            concerned.clear()
        assert elsewhere == []
        assert set(stranger) == ({"prompts"} if upstream == "modern" else set())


@each_era
async def test_a_resource_that_changed_is_told_to_those_who_subscribed(bench: Bench, era: Era, upstream: str) -> None:
    async with (
        hearing(bench, "ada", upstream, era, NOTE) as (client, heard),
        hearing(bench, "bob", upstream, era) as (_, other),
    ):
        await touch_until(client, NOTE, heard)
        assert set(heard) == {NOTE} and other == []
        if era == "legacy":
            await client.unsubscribe_resource(NOTE)
            heard.clear()
            await call(client, "touch", {"uri": NOTE})
            assert text(await call(client, "pay", {"amount": 1})) == "Paid 1."
            assert heard == []


@each_era
async def test_a_resource_the_agent_may_not_read_is_never_told_of(bench: Bench, era: Era, upstream: str) -> None:
    hidden = "workshop://note/2"
    async with connected(bench.url(), bench.headers("cleo"), "legacy") as (client, _):
        absent = [await refused(client, uri) for uri in (hidden, "workshop://nowhere")]
        assert absent[0].replace(hidden, "X") == absent[1].replace("workshop://nowhere", "X")
    async with (
        hearing(bench, "cleo", None, era, NOTE if era == "legacy" else hidden) as (_, stranger),
        hearing(bench, "ada", upstream, era, hidden) as (ada, heard),
    ):
        await touch_until(ada, hidden, heard)
        assert stranger == []


async def names(client: Any, kind: str) -> set[str]:
    """The names in a list, all pages of it."""
    found: set[str] = set()
    cursor: str | None = None
    for _ in itertools.count():
        page = await getattr(client, f"list_{kind}")(cursor=cursor)
        found |= {entry.name for entry in getattr(page, kind)}
        if (cursor := page.next_cursor) is None:
            break
    return found


async def touch_until(client: Any, uri: str, heard: list[str]) -> None:
    """Have the upstream touch a resource until it is heard of: a subscription takes its time to get there."""
    async with asyncio.timeout(5):
        while not heard:
            await call(client, "touch", {"uri": uri})
            await asyncio.sleep(0.02)


async def refused(client: Any, uri: str) -> str:
    with pytest.raises(MCPError) as error:
        await client.subscribe_resource(uri)
    return f"{error.value.error.code} {error.value.error.message} {error.value.error.data}"
