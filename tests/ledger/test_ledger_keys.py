"""One key is one call: over real HTTP, across restarts and crashes, whoever leaves meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from gateway_process import CLI, GatewayProcess
from ledger_parts import POLICIES, beside, digests, rows, servers, settle_all
from processes import finish
from raw_client import Legacy, Modern, Reply, eventually
from recorder import Nursery, Shop, shops


@dataclass
class Stage:
    """A gateway before a recorder, two agents, and the part of all that which belongs to the test `name`."""

    gateway: GatewayProcess
    shop: Shop
    agent: Modern
    other: Modern
    name: str

    async def note(self, key: str, text: str = "once", tool: str = "note", **more: Any) -> Reply:
        return await self.by(self.agent, {"toolgate/key": f"{self.name}/{key}"}, text, tool, **more)

    async def by(self, agent: Modern, meta: dict[str, Any], text: str = "once", tool: str = "note", **more: Any) -> Any:
        return await agent.call(f"shop__{tool}", {"text": f"{self.name}: {text}", **more}, **meta)

    def ran(self, text: str = "once") -> int:
        return [line["text"] for line in self.shop.executions()].count(f"{self.name}: {text}")

    def outcomes(self) -> list[dict[str, Any]]:
        """The outcome events of this test's calls."""
        events = rows(self.gateway.config.parent / "var" / "toolgate.db", "events")
        mine = {event["call"] for event in events if event["kind"] == "intent" and f"{self.name}: " in event["data"]}
        return [event for event in events if event["kind"] == "outcome" and event["call"] in mine]


@pytest.fixture(scope="module")
def served(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, Shop]]:
    folder = tmp_path_factory.mktemp("keys")
    with shops(nursery, folder, "shop") as (shop,), GatewayProcess(folder, servers(shop), POLICIES) as gateway:
        yield gateway, shop


@pytest.fixture
async def stage(served: tuple[GatewayProcess, Shop], request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    gateway, shop = served
    # The gateway is restarted here: a connection that is kept may be to one that is gone.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        agents = [Modern(session, gateway.url(), gateway.headers(name)) for name in ("worker", "other")]
        yield Stage(gateway, shop, *agents, request.node.name)


async def test_a_hundred_calls_at_once_with_one_key_run_once_and_have_one_answer(stage: Stage) -> None:
    replies = await asyncio.gather(*(stage.note("k1", delay=0.3) for _ in range(100)))
    assert all(reply.ok for reply in replies) and stage.ran() == 1
    assert len({str(reply.result) for reply in replies}) == 1
    (outcome,) = stage.outcomes()
    assert any(digest in outcome["data"] for digest in digests(replies[0].result))
    async with stage.agent.session.get(stage.gateway.url("/metrics")) as response:
        assert 'toolgate_deduplicated_total{agent="worker",how="joined"} 99.0' in await response.text()


async def test_a_reply_is_kept_over_a_restart_and_other_arguments_are_a_conflict(stage: Stage) -> None:
    first = await stage.note("k1")
    stage.gateway.stop()
    stage.gateway.start()
    again = await stage.note("k1")
    assert again.result == first.result and again.ok
    assert (await stage.note("k1", "other")).reason == "key_conflict"
    assert (await stage.note("k1", tool="pay")).reason == "key_conflict"
    assert (await stage.by(stage.other, {"toolgate/key": f"{stage.name}/k1"})).ok
    assert (stage.ran(), stage.ran("other")) == (2, 0), "another agent's key is another key"


async def test_a_conflict_is_told_while_the_first_call_is_under_way(stage: Stage) -> None:
    first = asyncio.create_task(stage.note("k1", delay=0.5))
    await eventually(lambda: stage.ran() == 1, 5)
    assert (await stage.note("k1", "other")).reason == "key_conflict"
    assert (await first).ok and stage.ran("other") == 0


async def test_a_call_that_was_under_way_when_the_gateway_died_is_never_sent_again(stage: Stage) -> None:
    running = [asyncio.create_task(stage.note(f"k-{tool}", tool=tool, delay=60)) for tool in ("note", "look")]
    await eventually(lambda: stage.ran() == 2, 5)
    stage.gateway.kill()
    await asyncio.gather(*running, return_exceptions=True)
    stage.gateway.start()
    assert (await stage.note("k-note", delay=60)).reason == "outcome_unknown"
    assert (await stage.note("k-note", "other")).reason == "key_conflict"
    assert (await stage.note("k-look", tool="look")).ok, "an idempotent tool may run twice"
    assert stage.ran() == 3
    assert [event["reason"] for event in stage.outcomes()] == ["crashed", "crashed", None]
    assert settle_all(stage.gateway.config, [f"{stage.name}/k-note"]) == 1
    settled = await stage.note("k-note", delay=60)
    assert settled.ok and "took effect" in settled.text and stage.ran() == 3


async def test_a_call_found_not_to_have_run_can_be_made_again_with_its_key(stage: Stage) -> None:
    running = asyncio.create_task(stage.note("k1", delay=60))
    await eventually(lambda: stage.ran() == 1, 5)
    running.cancel()
    state = beside(stage.gateway.config)
    await eventually(lambda: [each.key for each in state.ledger.unknown()] == [f"{stage.name}/k1"], 5)
    state.close()
    assert (await stage.note("k1", delay=60)).reason == "outcome_unknown" and stage.ran() == 1
    settle_all(stage.gateway.config, [])
    assert (await stage.note("k1")).ok and stage.ran() == 2


async def test_when_the_client_of_a_call_leaves_another_with_its_key_gets_the_answer(stage: Stage) -> None:
    leader = asyncio.create_task(stage.note("k1", delay=1))
    await eventually(lambda: stage.ran() == 1, 5)
    followers = [asyncio.create_task(stage.note("k1", delay=1)) for _ in range(3)]
    await asyncio.sleep(0.1)  # nothing tells from outside that they have joined
    leader.cancel()
    assert [(await follower).ok for follower in followers] == [True] * 3
    assert stage.ran() == 1
    assert [event["reason"] for event in stage.outcomes()] == [None]


@pytest.mark.parametrize("run", ["toolgate/run", None])
async def test_a_call_of_a_run_goes_on_when_its_only_client_leaves_and_its_answer_is_kept(
    stage: Stage, run: str | None
) -> None:
    meta = {"toolgate/key": f"{stage.name}/k1", **({run: "r1"} if run else {})}
    alone = asyncio.create_task(stage.by(stage.agent, meta, delay=1.0))
    await eventually(lambda: stage.ran() == 1, 10)
    alone.cancel()
    await eventually(lambda: len(stage.outcomes()) == 1, 10)
    again = await stage.by(stage.agent, meta, delay=1.0)
    assert (again.reason, stage.ran()) == (None if run else "outcome_unknown", 1)


async def test_a_legacy_client_and_claude_codes_own_keys_are_served_alike(stage: Stage) -> None:
    legacy = Legacy(stage.agent.session, stage.gateway.url(), stage.agent.headers)
    await legacy.open()
    arguments, meta = {"text": f"{stage.name}: once"}, {"claudecode/toolUseId": "toolu_1"}
    params = {"name": "shop__note", "arguments": arguments, "_meta": meta}
    replies = [await legacy.request("tools/call", params, id=number) for number in (1, 2)]
    replies.append(await stage.by(stage.agent, meta))
    assert [reply.text for reply in replies] == [arguments["text"]] * 3 and stage.ran() == 1


async def test_a_second_gateway_on_the_same_state_folder_is_refused(stage: Stage) -> None:
    config = stage.gateway.config.with_name("second.toml")
    config.write_text(stage.gateway.config.read_text().replace(f"port = {stage.gateway.port}", "port = 0"))
    ran = finish([*CLI, "serve", "--config", str(config)], 30)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert "another gateway works with this folder" in ran.stderr
    assert (await stage.note("k1")).ok
