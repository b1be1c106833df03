"""No label value ever comes from a request, so whatever clients send, the series are as many as the files allow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from gateway_process import GatewayProcess
from prometheus_client.parser import text_string_to_metric_families
from raw_client import Legacy, Modern, pool
from recorder import Nursery, shops

POLICY = """
agent = "ada"
description = "Does what it likes."
[[allow]]
tool = "shop/*"
[[allow]]
resource = "*/*"
[[allow]]
prompt = "*/*"
"""
Series = frozenset[tuple[str, tuple[tuple[str, str], ...]]]


@pytest.fixture(scope="module")
def gateway(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("bounded")
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\n[throttle]\nper_second = 100000.0\nburst = 100000\n'
        with GatewayProcess(folder, servers, {"ada.toml": POLICY}) as running:
            yield running


async def exposed(session: aiohttp.ClientSession, gateway: GatewayProcess) -> str:
    async with session.get(gateway.url("/metrics")) as response:
        assert response.status == 200 and response.content_type == "text/plain"
        return await response.text()


def series(text: str) -> Series:
    return frozenset(
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


async def hammer(session: aiohttp.ClientSession, gateway: GatewayProcess, headers: dict[str, str], odd: str) -> None:
    """Every place of a request where a name can stand, with a name that nothing has."""
    modern, legacy = Modern(session, gateway.url(), headers), Legacy(session, gateway.url(), headers)
    face = Modern(session, gateway.url("/mcp/shop"), headers)
    await legacy.open()
    meta = {"toolgate/run": odd, "toolgate/key": odd, "toolgate/reason": odd, "traceparent": odd, odd: odd}
    for tool in ("note", f"shop__{odd}", odd, f"{odd}__note", f"{odd}__{odd}", f"toolgate__{odd}"):
        await modern.call(tool, {"text": odd, odd: odd}, **meta)
        await face.call(tool, {"text": odd, odd: odd}, **meta)
        await legacy.call(tool, {"text": odd, odd: odd})
    await modern.call("shop__note", {"text": odd}, **meta)
    await modern.call("shop__note", {"text": f"'; select {odd} -- <script>"}, **meta)
    for method, params in (
        ("prompts/get", {"name": odd}),
        ("prompts/get", {"name": f"shop__{odd}"}),
        ("resources/read", {"uri": f"file:///{odd}"}),
        ("tools/list", {"cursor": odd}),
        (f"{odd}/list", {}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": odd}, "argument": {"name": odd, "value": odd}}),
    ):
        await modern.request(method, params, **meta)
    stranger = Modern(session, gateway.url(), {"Authorization": f"Bearer {odd}"})
    assert (await stranger.call("shop__note", {"text": odd})).status == 401
    elsewhere = Modern(session, gateway.url(f"/mcp/{odd}"), headers)
    await elsewhere.call("note", {"text": odd})


async def test_odd_names_make_no_series(gateway: GatewayProcess) -> None:
    headers = gateway.headers("ada")
    async with pool() as session:
        await hammer(session, gateway, headers, "odd-first")
        before = await exposed(session, gateway)
        await asyncio.gather(*(hammer(session, gateway, headers, f"odd-{number}") for number in range(20)))
        after = await exposed(session, gateway)
    assert "odd" not in after, [line for line in after.splitlines() if "odd" in line][:5]
    # Another error than before may have come up, but nothing that grows with the names.
    assert len(series(after) - series(before)) < 60, sorted(series(after) - series(before))
    known = {"-", "shop", "toolgate", ""}
    for name, labels in series(after):
        told = dict(labels)
        assert told.get("server", "") in known and told.get("agent", "ada") in {"ada", ""}, (name, told)
        assert told.get("gen_ai_tool_name", "") in {"", "-", "note"}, (name, told)


async def test_durations_tell_what_was_asked_of_whom_and_what_went_wrong(gateway: GatewayProcess) -> None:
    headers = gateway.headers("ada")
    async with pool() as session:
        modern = Modern(session, gateway.url(), headers)
        assert (await modern.call("shop__look", {"text": "x", "delay": 0.3})).ok
        assert not (await modern.call("shop__absent", {})).ok
        await modern.tools()
        text = await exposed(session, gateway)
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(side: str, what: str, method: str, server: str, tool: str, error: str = "") -> float:
        labels = {"mcp_method_name": method, "server": server, "gen_ai_tool_name": tool, "error_type": error}
        return values[f"mcp_{side}_operation_duration_seconds_{what}", tuple(sorted(labels.items()))]

    assert value("server", "count", "tools/call", "shop", "look") == 1
    assert value("client", "sum", "tools/call", "shop", "look") >= 0.3
    assert value("client", "sum", "tools/call", "shop", "look") <= value("server", "sum", "tools/call", "shop", "look")
    assert value("server", "count", "tools/call", "shop", "-", "not_found") >= 1
    assert value("server", "count", "tools/list", "", "") >= 1
    assert not [key for key in values if key[0].startswith("mcp_client") and ("gen_ai_tool_name", "-") in key[1]]
