"""What passes between the gateway and a real tool server, in each era, over HTTP and over stdio."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from upstream_depot import Depot
from upstream_parts import Client, Spec, call, text, until

from gateway.call import Silent
from gateway.errors import Unbridgeable, UpstreamError

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

DEPOT = str(Path(__file__).with_name("upstream_depot.py"))
CAPABILITIES = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}


@pytest.fixture(params=["http-modern", "http-legacy", "stdio-modern", "stdio-legacy"])
async def up(request: Any, connect: Any, http: Any) -> Any:
    transport, era = request.param.split("-")
    if transport == "http":
        spec = Spec(url=(await http(Depot().app)).url, era=era)
    else:
        spec = Spec(command=sys.executable, args=(DEPOT,), era=era)
    upstream, seen = await connect(spec)
    assert upstream.up and upstream.era == era
    return upstream, seen


async def test_a_server_is_used_as_it_is_meant_to_be(up: Any) -> None:
    upstream, seen = up
    tools = {tool["name"]: tool for tool in upstream.listing.tools}
    assert list(tools) == ["ask", "env", "fail", "grow", "report", "sample", "shelf", "touch", "wait", "whoami"]
    assert [one["uri"] for one in upstream.listing.resources] == ["depot://stock"]

    client = Client({"elicitation/create": {"action": "accept", "content": {"ok": True}}})
    assert text(await upstream.request("tools/call", call("report", progressToken="mine"), peer=client)) == "reported"
    steps = [params for method, params in client.heard if method == "notifications/progress"]
    assert [step["progress"] for step in steps] == [1, 2, 3]
    assert {step["progressToken"] for step in steps} == {"mine"}

    silent = Client()
    await upstream.request("tools/call", call("report"), peer=silent)
    assert not [method for method, _ in silent.heard if method == "notifications/progress"]

    with pytest.raises(UpstreamError) as failed:
        await upstream.request("tools/call", call("fail"), peer=client)
    assert (failed.value.code, failed.value.message) == (-32602, "no such shelf")

    answered = await upstream.request("tools/call", call("ask", **CAPABILITIES), peer=client)
    if upstream.era == "legacy":
        assert text(answered) == "accept" and client.asked[0][1]["message"] == "sure?"
    else:
        assert answered["resultType"] == "input_required" and answered["inputRequests"]["sure"]["params"]
        more = {"inputResponses": {"sure": {"action": "decline"}}}
        assert (
            text(await upstream.request("tools/call", {**call("ask", **CAPABILITIES), **more}, peer=client))
            == "decline"
        )

    await upstream.request("tools/call", call("grow"), peer=client)
    await until(lambda: "zeta" in [tool["name"] for tool in upstream.listing.tools])
    assert seen.listings[-1][0] is True and "zeta" in seen.listings[-1][1]
    await until(lambda: "notifications/tools/list_changed" in [method for method, _ in seen.notices])

    await upstream.subscribe("depot://stock")

    def updates() -> list[str]:
        return [params["uri"] for method, params in seen.notices if method == "notifications/resources/updated"]

    for _ in range(100):  # the stream that carries updates is opened beside the calls
        await upstream.request("tools/call", call("touch"), peer=Silent())
        if updates():
            break
    assert set(updates()) == {"depot://stock"}


async def test_sampling_of_a_legacy_server_reaches_the_client_and_refusals_reach_the_server(
    connect: Any, http: Any
) -> None:
    served = await http(Depot().app)
    upstream, _ = await connect(Spec(url=served.url, era="legacy"))
    reply = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "thought"}}
    client = Client({"sampling/createMessage": reply})
    assert text(await upstream.request("tools/call", call("sample"), peer=client)) == "thought"

    for refusal, told in (
        (Unbridgeable("This client cannot be asked."), "This client cannot be asked."),
        (RuntimeError("inner secret"), "The client did not answer."),
    ):
        with pytest.raises(UpstreamError) as failed:
            await upstream.request("tools/call", call("sample"), peer=Client({"sampling/createMessage": refusal}))
        assert failed.value.message == told


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_cancelling_a_request_cancels_it_at_the_server(connect: Any, http: Any, era: Any) -> None:
    depot = Depot()
    upstream, _ = await connect(Spec(url=(await http(depot.app)).url, era=era))
    asking = asyncio.create_task(upstream.request("tools/call", call("wait"), peer=Silent()))
    await until(lambda: depot.started == ["wait"])
    asking.cancel()
    await until(lambda: depot.cancelled == ["wait"])
    assert text(await upstream.request("tools/call", call("whoami"), peer=Silent())) == "nobody"


async def test_marked_arguments_are_mirrored_in_headers(connect: Any, http: Any) -> None:
    upstream, _ = await connect(Spec(url=(await http(Depot().app)).url))
    assert upstream.era == "modern"
    assert text(await upstream.request("tools/call", call("shelf", {"number": 7}), peer=Silent())) == "7"


async def test_names_that_are_no_ascii_pass_in_headers(connect: Any, http: Any) -> None:
    depot = Depot()
    depot.names.append("größe")
    upstream, _ = await connect(Spec(url=(await http(depot.app)).url))
    with pytest.raises(UpstreamError) as failed:
        await upstream.request("tools/call", call("größe"), peer=Silent())
    assert failed.value.code == -32603 and depot.started == ["größe"]


async def test_a_legacy_only_server_is_found_out_and_served(connect: Any) -> None:
    """A server on an older SDK that knows `initialize` only, over stdio, and dies when asked anything else."""
    script = (
        "import sys, json\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m['method'] == 'server/discover': sys.exit(3)\n"
        "    if m['method'] == 'initialize':\n"
        "        r = {'protocolVersion': '2024-11-05', 'capabilities': {}, 'serverInfo': {}}\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)\n"
        "    elif 'id' in m: print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': {}}), flush=True)\n"
    )
    upstream, _ = await connect(Spec(command=sys.executable, args=("-c", script)))
    assert upstream.up and upstream.era == "legacy"
    assert upstream.hello["protocolVersion"] == "2024-11-05"
