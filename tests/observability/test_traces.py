"""Traces as a collector gets them: one from the agent over the gateway to the tool, and nothing in it is a secret."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from collector import CLIENT, INTERNAL, SERVER, Collector, Seen, collecting
from gateway_process import GatewayProcess
from processes import free_port
from pydantic import ValidationError
from raw_client import Legacy, Modern, pool
from recorder import Nursery, Shop, shops, wait_until

from gateway.settings import TraceSettings
from gateway.traces import traces

pytestmark = pytest.mark.xdist_group("traces")  # one gateway for all of them

POLICY = """
agent = "ada"
description = "Notes and pays."
[[allow]]
tool = "shop/note"
[[allow]]
tool = "shop/pay"
gate = { type = "approval" }
"""
PATIENCE = 30.0
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
"""Milliseconds between two batches of spans."""
CANARY = "canary-8812"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Place:
    gateway: GatewayProcess
    shop: Shop
    headers: dict[str, str]

    def heard(self, text: str) -> str | None:
        """The `traceparent` that the tool was sent with this text."""
        (one,) = [line for line in self.shop.executions() if line["text"] == text]
        trace: str | None = one["trace"]
        return trace

    def events(self, kind: str, trace: str) -> list[dict[str, Any]]:
        with sqlite3.connect(self.gateway.config.parent / "var" / "toolgate.db") as database:
            rows = database.execute("select data from events where kind = ?", (kind,)).fetchall()
        database.close()
        return [data for row in rows if (data := json.loads(row[0])).get("trace") == trace]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def made(nursery: Nursery, folder: Path, traces: str, settings: str = "") -> Iterator[Place]:
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[approvals]\nhold = 0.5\n[servers.shop]\nurl = "{shop.url}"\n{traces}'
        with GatewayProcess(folder, servers, {"ada.toml": POLICY}, settings=settings, environ=OFTEN) as gateway:
            yield Place(gateway, shop, gateway.headers("ada"))


@pytest.fixture(scope="module")
def place(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Place]:
    traces = f'[traces]\nendpoint = "{collector.url}"\nheaders = {{ x-token = "collector-token" }}\n'
    yield from made(nursery, tmp_path_factory.mktemp("traced"), traces, 'log_format = "json"\nlog_calls = "all"')


@pytest.fixture(scope="module")
def untraced(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from made(nursery, tmp_path_factory.mktemp("untraced"), "")


def parent(trace: str, flags: str = "01") -> str:
    return f"00-{trace}-{PARENT}-{flags}"


def whole(collector: Collector, trace: str, *names: str) -> dict[str, Seen]:
    """The spans of a trace, by name, once they are all there."""
    wait_until(lambda: {span.name for span in collector.of(trace)} >= set(names), PATIENCE)
    return {f"{span.kind} {span.name}": span for span in collector.of(trace)}


async def test_a_call_is_one_trace_from_the_agent_to_the_tool(place: Place, collector: Collector) -> None:
    meta = {"traceparent": parent(TRACE), "tracestate": "vendor=1", "toolgate/run": "order-17"}
    async with pool() as session:
        client = Modern(session, place.gateway.url(), place.headers)
        assert (await client.call("shop__note", {"text": f"one {CANARY}"}, **meta)).ok
    spans = whole(collector, TRACE, "tools/call note", "toolgate.intent", "toolgate.outcome")
    server, client_span = spans[f"{SERVER} tools/call note"], spans[f"{CLIENT} tools/call note"]
    assert server.parent == PARENT and client_span.parent == server.id
    assert spans[f"{INTERNAL} toolgate.intent"].parent == spans[f"{INTERNAL} toolgate.outcome"].parent == server.id
    assert server.seconds >= client_span.seconds > 0 and not server.failed
    common = {"mcp.method.name": "tools/call", "network.transport": "tcp", "toolgate.server": "shop"}
    common |= {"gen_ai.tool.name": "note", "gen_ai.operation.name": "execute_tool"}
    assert client_span.about == common
    assert server.about == common | {"toolgate.agent": "ada", "toolgate.run": "order-17"}
    assert place.heard(f"one {CANARY}") == f"00-{TRACE}-{client_span.id}-01"
    assert {headers["x-token"] for headers in collector.headers} == {"collector-token"}


async def test_events_and_log_lines_name_the_trace(place: Place, collector: Collector) -> None:
    async with pool() as session:
        client = Modern(session, place.gateway.url(), place.headers)
        assert (await client.call("shop__note", {"text": "untold"})).ok
    trace = (place.heard("untold") or "").split("-")[1]
    assert whole(collector, trace, "tools/call note")[f"{SERVER} tools/call note"].parent == ""
    assert len(place.events("intent", trace)) == len(place.events("outcome", trace)) == 1
    lines = [json.loads(line) for line in place.gateway.output.splitlines() if trace in line]
    assert [(line["tool"], line["outcome"], line["trace"]) for line in lines] == [("note", "ok", trace)]


async def test_a_refused_call_fails_by_its_reason_and_a_gated_one_shows_its_wait(
    place: Place, collector: Collector
) -> None:
    refused, gated = "a" * 32, "b" * 32
    async with pool() as session:
        client = Modern(session, place.gateway.url(), place.headers)
        answer = await client.call("shop__look", {"text": CANARY}, traceparent=parent(refused))
        assert answer.reason == "not_found"
        assert (await client.call("shop__pay", {"text": CANARY}, traceparent=parent(gated))).ok
    server = whole(collector, refused, "tools/call look")[f"{SERVER} tools/call look"]
    assert server.failed and server.about["error.type"] == "not_found"
    spans = whole(collector, gated, "tools/call pay", "toolgate.gate", "toolgate.wait")
    assert spans[f"{INTERNAL} toolgate.wait"].seconds >= 0.4 and f"{CLIENT} tools/call pay" not in spans
    assert len(place.events("refusal", refused)) == 1


async def test_a_trace_that_its_caller_does_not_record_is_passed_on_as_it_came(
    place: Place, collector: Collector
) -> None:
    quiet, loud = "c" * 32, "d" * 32
    async with pool() as session:
        client = Modern(session, place.gateway.url(), place.headers)
        assert (await client.call("shop__note", {"text": "quiet"}, traceparent=parent(quiet, "00"))).ok
        assert (await client.call("shop__note", {"text": "loud"}, traceparent=parent(loud))).ok
    whole(collector, loud, "tools/call note")
    assert collector.of(quiet) == [] and place.heard("quiet") == parent(quiet, "00")
    assert len(place.events("intent", quiet)) == 1


async def test_what_is_no_traceparent_begins_a_trace_of_its_own_and_stands_nowhere(place: Place) -> None:
    async with pool() as session:
        client = Modern(session, place.gateway.url(), place.headers)
        for number, odd in enumerate([f"00-{'0' * 32}-{PARENT}-01", "'; drop table", 7, {"a": 1}, "x" * 5000]):
            assert (await client.call("shop__note", {"text": f"odd {number}"}, traceparent=odd)).ok
            heard = place.heard(f"odd {number}")
            assert heard is not None and heard != odd and len(heard) == 55


@pytest.mark.parametrize("tracing", [True, False], ids=["traced", "untraced"])
async def test_the_http_header_says_it_where_the_request_does_not(
    request: pytest.FixtureRequest, tracing: bool
) -> None:
    place: Place = request.getfixturevalue("place" if tracing else "untraced")
    trace = ("e" if tracing else "f") * 32
    headers = {**place.headers, "traceparent": parent(trace)}
    async with pool() as session:
        assert (await Modern(session, place.gateway.url(), headers).call("shop__note", {"text": "modern"})).ok
        legacy = Legacy(session, place.gateway.url(), headers)
        await legacy.open()
        assert (await legacy.call("shop__note", {"text": "legacy"})).ok
    for text in ("modern", "legacy"):
        heard = place.heard(text)
        assert heard is not None and heard.split("-")[1] == trace
        assert (heard == parent(trace)) is not tracing, "who traces names a span of its own"


def test_an_agent_on_the_sdk_that_traces_is_one_trace_with_the_tool(place: Place, collector: Collector) -> None:
    script = str(Path(__file__).with_name("tracing_client.py"))
    token = place.headers["Authorization"].removeprefix("Bearer ")
    command = [sys.executable, script, place.gateway.url(), token, "shop__note", "by the sdk"]
    trace = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    spans = whole(collector, trace, "tools/call note")
    assert spans[f"{SERVER} tools/call note"].parent
    assert (place.heard("by the sdk") or "").split("-")[1] == trace


def test_no_argument_and_no_token_is_in_what_the_collector_got(place: Place, collector: Collector) -> None:
    sent = b"".join(collector.bodies)
    assert collector.bodies and CANARY.encode() not in sent
    assert place.headers["Authorization"].removeprefix("Bearer ").encode() not in sent


async def test_without_an_endpoint_nothing_is_made_and_what_came_is_passed_on(untraced: Place) -> None:
    async with pool() as session:
        client = Modern(session, untraced.gateway.url(), untraced.headers)
        assert (await client.call("shop__note", {"text": "plain"})).ok
        assert (await client.call("shop__note", {"text": "given"}, traceparent=parent(TRACE))).ok
    assert untraced.heard("plain") is None and untraced.heard("given") == parent(TRACE)
    assert len(untraced.events("intent", TRACE)) == 1


def test_the_sdk_is_not_loaded_where_nothing_is_traced() -> None:
    code = "import sys, gateway.app; sys.exit('opentelemetry.sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_a_collector_that_is_not_there_costs_a_call_nothing(nursery: Nursery, tmp_path: Path) -> None:
    traces = f'[traces]\nendpoint = "http://127.0.0.1:{free_port()}/v1/traces"\n'
    for place in made(nursery, tmp_path, traces):
        async with pool() as session:
            client = Modern(session, place.gateway.url(), place.headers)
            for number in range(50):
                reply = await client.call("shop__note", {"text": str(number)})
                assert reply.ok and reply.seconds < 2
        assert place.gateway.stop() == 0


def test_without_the_extra_it_is_said_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from gateway.errors import ConfigError; from gateway.settings import TraceSettings\n"
        "from gateway.traces import traces\n"
        "traces(TraceSettings(), 'a')\n"
        "try: traces(TraceSettings(endpoint='http://127.0.0.1:1/'), 'a')\n"
        "except ConfigError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True).stdout
    assert "traces.endpoint" in told and "install toolgate[otlp]" in told


def test_a_collector_has_an_http_address() -> None:
    with pytest.raises(ValidationError, match="no HTTP address"):
        TraceSettings(endpoint="127.0.0.1:4317")


def test_of_what_no_caller_decided_on_a_share_is_recorded() -> None:
    made = traces(TraceSettings(endpoint="http://127.0.0.1:9/", share=0.0), "a")
    assert made.request("tools/call", {}, {}) is None
    assert made.request("tools/call", {"traceparent": parent(TRACE, "00")}, {}) is None
    asked = made.request("tools/call", {"traceparent": parent(TRACE)}, {})
    assert asked is not None and asked.carried({"baggage": "a=1"})["traceparent"].startswith(f"00-{TRACE}-")
