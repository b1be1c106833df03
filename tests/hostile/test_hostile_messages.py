"""Messages that are none: each is refused with a status and a reason, none with a stack, and the next call works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from gateway_process import GatewayProcess
from hostile_parts import POLICIES
from raw_client import ENVELOPE, MODERN, Legacy, Modern, pool
from recorder import Shop

pytestmark = pytest.mark.xdist_group("hostile-messages")  # one gateway for all of them

META = {"_meta": ENVELOPE}
CALL: dict[str, Any] = {"name": "shop__note", "arguments": {"text": "odd"}, **META}
GOOD: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL}
BODIES: dict[str, Any] = {
    "nothing": b"",
    "blanks": b"  \r\n ",
    "NUL": b"\0",
    "half": json.dumps(GOOD)[:-3],
    "two": json.dumps(GOOD) * 2,
    "not UTF-8": b'{"jsonrpc": "2.0", "id": "\xff"}',
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    "NaN": json.dumps({**GOOD, "params": {**CALL, "arguments": {"delay": float("nan")}}}),
    "same key twice": json.dumps(GOOD)[:-1] + ', "method": "tools/list"}',
    "deep": '{"a":' * 5000 + "1" + "}" * 5000,
    "deep list": "[" * 100_000,
    "huge number": '{"jsonrpc": "2.0", "id": 1' + "0" * 5000 + "}",
    "form": b"jsonrpc=2.0&id=1",
    "XML": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "batch": [GOOD, {**GOOD, "id": 2}],
    "empty batch": [],
    "batch of nothing": [None, 1, "x"],
    "text": "tools/call",
    "number": 7,
    "null": None,
    "no version": {key: value for key, value in GOOD.items() if key != "jsonrpc"},
    "old version": {**GOOD, "jsonrpc": "1.0"},
    "version a number": {**GOOD, "jsonrpc": 2.0},
    "no method": {key: value for key, value in GOOD.items() if key != "method"},
    "method a list": {**GOOD, "method": ["tools/call"]},
    "method empty": {**GOOD, "method": ""},
    "id null": {**GOOD, "id": None},
    "id true": {**GOOD, "id": True},
    "id a fraction": {**GOOD, "id": 1.5},
    "id an object": {**GOOD, "id": {"a": 1}},
    "id a list": {**GOOD, "id": [1]},
    "params a list": {**GOOD, "params": [1]},
    "params text": {**GOOD, "params": "x"},
    "a response nobody asked for": {"jsonrpc": "2.0", "id": 1, "result": {}},
    "an error nobody asked for": {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}},
    "request and response": {**GOOD, "result": {}, "method": 1},
}
"""Bodies that no era takes; text and bytes as they are, the rest as JSON."""
TAKEN = {"method empty": 200, "a response nobody asked for": 202, "an error nobody asked for": 202}
"""What is a message in a session of the legacy era: the first one is answered with an error."""
TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "", "*/*")


@pytest.fixture(scope="module")
def gateway(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("messages")
    settings = "max_body = 200000\n"
    servers = f'[servers.shop]\nurl = "{shop.url}"\nera = "modern"\n'
    with GatewayProcess(folder, servers, POLICIES, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def bearer(gateway: GatewayProcess) -> dict[str, str]:
    return gateway.headers("clerk")


def spelled(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) and body != "tools/call" else json.dumps(body).encode()


def modern(bearer: dict[str, str]) -> dict[str, str]:
    named = {"Mcp-Method": "tools/call", "Mcp-Name": "shop__note", "MCP-Protocol-Version": MODERN}
    return {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **bearer, **named}


async def send(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    async with session.post(url, headers=headers, data=body, skip_auto_headers=["Content-Type"]) as response:
        return response.status, await response.read()


async def test_a_message_that_is_none_is_refused(gateway: GatewayProcess, shop: Shop, bearer: dict[str, str]) -> None:
    async with pool() as session:
        legacy = Legacy(session, gateway.url(), bearer)
        await legacy.open()
        named = {name: value for name, value in modern(bearer).items() if not name.startswith("M")}
        for kind, body in BODIES.items():
            for headers in (modern(bearer), {**named, **legacy.extra}, named):
                status, raw = await send(session, gateway.url(), headers, spelled(body))
                if kind in TAKEN and "Mcp-Session-Id" in headers:
                    assert status == TAKEN[kind] and b'"result"' not in raw, (kind, status, raw)
                    continue
                assert 400 <= status < 500, (kind, status, raw)
                told = json.loads(raw)["error"]["message"]
                assert len(told) < 120 and "Traceback" not in told and "pydantic" not in told, (kind, told)
        assert (await Modern(session, gateway.url(), bearer).call("shop__note", {"text": "well"})).text == "well"
        assert (await legacy.call("shop__note", {"text": "still well"})).text == "still well"
    assert [line["text"] for line in shop.executions()].count("odd") == 0
    assert "failed inside" not in gateway.output and "Exception in ASGI" not in gateway.output


async def test_another_content_type_or_a_coded_body_is_refused(
    gateway: GatewayProcess, shop: Shop, bearer: dict[str, str]
) -> None:
    async with pool() as session:
        before = len(shop.executions())
        body = json.dumps(GOOD).encode()
        for kind in TYPES:
            status, _ = await send(session, gateway.url(), {**modern(bearer), "Content-Type": kind}, body)
            assert status == 400, kind
        for accepted in ("application/json", "text/event-stream", "text/html", ""):
            status, _ = await send(session, gateway.url(), {**modern(bearer), "Accept": accepted}, body)
            assert status == 406, accepted
        coded = {**modern(bearer), "Content-Encoding": "gzip"}
        status, _ = await send(session, gateway.url(), coded, b"\x1f\x8b" + b"\0" * 50)
        assert status == 400
        assert len(shop.executions()) == before


async def test_an_oversize_body_is_refused_in_each_framing_and_era(
    gateway: GatewayProcess, shop: Shop, bearer: dict[str, str]
) -> None:
    large = json.dumps({**GOOD, "params": {**CALL, "arguments": {"text": "x" * 300_000}}}).encode()

    async def pieces() -> Any:
        for at in range(0, len(large), 10_000):
            yield large[at : at + 10_000]

    async with pool() as session:
        before = len(shop.executions())
        legacy = {name: value for name, value in modern(bearer).items() if not name.startswith("M")}
        for headers in (modern(bearer), legacy):
            for body in (large, pieces()):
                async with session.post(gateway.url(), headers=headers, data=body) as response:
                    assert response.status == 413
        assert len(shop.executions()) == before
        assert (await Modern(session, gateway.url(), bearer).call("shop__note", {"text": "after"})).text == "after"
