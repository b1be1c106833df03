"""Arguments are checked by what they are declared to be; what reaches the tool is the plain form that was judged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from gateway_process import GatewayProcess
from keeper import Keeper, keeping
from raw_client import Legacy, Modern, Reply, pool

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("sanitize")]  # one gateway for all of them

SERVER = """
era = "modern"
[servers.shop.tools.keep.arguments]
sql = { kind = "sql", dialect = "sqlite", tables = ["orders"] }
url = { kind = "url", hosts = ["*.example.com"] }
path = { kind = "path" }
html = { kind = "html" }
cents = { kind = "money" }
key = { kind = "secret" }
words = { kind = "name" }
[servers.shop.tools.strict]
signals = "refuse"
"""
ADA = """agent = "ada"
description = "Keeps."
[[allow]]
tool = "*/*"
[[allow]]
resource = "*/*"
[[allow]]
prompt = "*/*"
"""
BOB = """agent = "bob"
description = "Reads reports."
[[allow]]
tool = "shop/keep"
where = { path = { pattern = "^reports/" } }
"""
CID = """agent = "cid"
description = "Reads reports of one customer."
[[allow]]
tool = "shop/keep"
where = { path = { pattern = "^reports/" } }
bind = { customer = { const = "C-1" } }
"""
TAG = "\U000e0061\U000e0062\U000e0063"


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with keeping({"keep": {"type": "object"}, "strict": {"type": "object"}}) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(keeper: Keeper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    servers = f'[servers.shop]\nurl = "{keeper.url}"{SERVER}'
    policies = {"ada.toml": ADA, "bob.toml": BOB, "cid.toml": CID}
    with GatewayProcess(tmp_path_factory.mktemp("sanitize"), servers, policies) as running:
        yield running


@pytest.fixture(params=["modern", "legacy"])
async def ada(request: pytest.FixtureRequest, gateway: GatewayProcess) -> AsyncIterator[Modern | Legacy]:
    async with pool() as session:
        where = (session, gateway.url("/mcp/shop"), gateway.headers("ada"))
        if request.param == "modern":
            yield Modern(*where)
        else:
            client = Legacy(*where)
            await client.open()
            yield client


def events(gateway: GatewayProcess, kind: str) -> list[dict[str, Any]]:
    with sqlite3.connect(gateway.config.parent / "var/toolgate.db") as database:
        return [json.loads(row[0]) for row in database.execute("select data from events where kind = ?", (kind,))]


async def keep(client: Modern | Legacy, arguments: dict[str, Any], tool: str = "keep") -> Reply:
    return await client.request("tools/call", {"name": tool, "arguments": arguments})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"sql": "select id /* x */ from orders;"}, {"sql": "SELECT id FROM orders"}),
        ({"url": "HTTPS://API.example.com/a/../b"}, {"url": "https://api.example.com/b"}),
        ({"path": ["./a//b", "c"]}, {"path": ["a/b", "c"]}),
        ({"html": "<b>a</b><script>b</script>"}, {"html": "<b>a</b>"}),
        ({"text": "12345; DROP TABLE orders;--"}, {"text": "12345; DROP TABLE orders;--"}),
        (
            {"text": "\U0001f468\u200d\U0001f469\u200d\U0001f467"},
            {"text": "\U0001f468\u200d\U0001f469\u200d\U0001f467"},
        ),
        ({"cents": 1999, "words": "ORD-1", "key": "a\u202eb", "sql": None}, None),
    ],
)
async def test_the_tool_gets_the_plain_form(
    ada: Modern | Legacy, keeper: Keeper, given: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    assert (await keep(ada, given)).ok
    assert keeper.arguments[-1] == (sent or given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sql": "12345; DROP TABLE orders;--"}, "'sql' of keep must be"),
        ({"sql": "select * from moonlit"}, "these tables only: orders"),
        ({"url": "https://169.254.169.254/moonlit"}, "metadata service"),
        ({"path": "../../moonlit"}, "above where it starts"),
        ({"cents": 19.99}, "minor units"),
        ({"key": ["moonlit"]}, "'key' of keep must be a string"),
        ({"words": "moonlit archive"}, "must be a name"),
        ({"text": f"moonlit{TAG}"}, "'text' of keep must be text without anything hidden"),
        ({"text": [{"deep": [f"moonlit{TAG}"]}]}, "tag characters"),
        ({f"moonlit{TAG}": 1}, "(with a long or odd name)"),
        ({"text": {f"moonlit{TAG}": 1}}, "tag characters"),
    ],
)
async def test_what_is_not_what_it_is_declared_to_be_is_refused_and_told_why(
    ada: Modern | Legacy, keeper: Keeper, gateway: GatewayProcess, given: dict[str, Any], told: str
) -> None:
    before = len(keeper.calls)
    reply = await keep(ada, given)
    assert reply.reason == "unsafe_arguments" and len(keeper.calls) == before
    assert told in reply.text and "Nothing was run" in reply.text
    assert "moonlit" not in reply.text
    assert events(gateway, "refusal")[-1]["detail"]


async def test_hidden_text_is_refused_in_prompts_completions_and_resources_too(
    ada: Modern | Legacy, keeper: Keeper
) -> None:
    before = len(keeper.calls)
    hidden = f"x{TAG}"
    replies = [
        await ada.request("prompts/get", {"name": "greet", "arguments": {"who": hidden}}),
        await ada.request("resources/read", {"uri": f"kept://{hidden}"}) if isinstance(ada, Legacy) else None,
        await ada.request(
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": hidden}},
        ),
    ]
    for reply in filter(None, replies):
        assert "error" in reply.message and reply.reason in ("unsafe_arguments", None), reply
        assert TAG not in reply.message["error"]["message"]
    assert len(keeper.calls) == before
    assert "result" in (await ada.request("prompts/get", {"name": "greet", "arguments": {"who": "Ann"}})).message


async def test_signals_are_written_down_and_counted_and_nothing_else(
    ada: Modern | Legacy, keeper: Keeper, gateway: GatewayProcess
) -> None:
    assert (await keep(ada, {"text": "' OR '1'='1", "more": ["<script>"]})).ok
    assert events(gateway, "intent")[-1]["signals"] == ["markup", "sql"]
    assert (await keep(ada, {"text": "a plain text"})).ok
    assert "signals" not in events(gateway, "intent")[-1]
    async with ada.session.get(gateway.url("/metrics")) as answer:
        assert 'toolgate_signals_total{server="shop",signal="sql",tool="keep"}' in await answer.text()


async def test_a_tool_that_refuses_signals_says_so(
    ada: Modern | Legacy, keeper: Keeper, gateway: GatewayProcess
) -> None:
    before = len(keeper.calls)
    reply = await keep(ada, {"text": "$(rm -rf /)"}, "strict")
    assert reply.reason == "unsafe_arguments" and "must not look like shell" in reply.text
    assert events(gateway, "refusal")[-1]["signals"] == ["shell"]
    assert len(keeper.calls) == before
    assert (await keep(ada, {"text": "a plain text"}, "strict")).ok


async def test_a_secret_that_is_refused_is_in_no_event(ada: Modern | Legacy, gateway: GatewayProcess) -> None:
    assert not (await keep(ada, {"key": ["moonlit-secret"], "cents": -1})).ok
    assert "moonlit-secret" not in json.dumps(events(gateway, "refusal"))


async def test_a_rule_about_paths_is_about_where_they_lead(gateway: GatewayProcess, keeper: Keeper) -> None:
    async with pool() as session:
        bob = Modern(session, gateway.url("/mcp/shop"), gateway.headers("bob"))
        assert (await bob.call("keep", {"path": "reports//q1"})).ok
        assert keeper.arguments[-1] == {"path": "reports/q1"}
        before = len(keeper.calls)
        reply = await bob.call("keep", {"path": "reports/../payroll"})
        assert reply.reason == "denied" and "written plainly" in reply.text and len(keeper.calls) == before


async def test_what_the_gateway_filled_in_does_not_count_against_a_path_that_was_made_plain(
    gateway: GatewayProcess, keeper: Keeper
) -> None:
    async with pool() as session:
        cid = Modern(session, gateway.url("/mcp/shop"), gateway.headers("cid"))
        answer = await keep(cid, {"path": "reports/./today"})
    assert not answer.result.get("isError"), answer.result
    assert keeper.arguments[-1] == {"path": "reports/today", "customer": "C-1"}
