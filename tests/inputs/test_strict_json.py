"""JSON is read strictly before anything else is done, alike in both eras, and its plain form is sent on."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from gateway_process import GatewayProcess
from keeper import Keeper, keeping
from raw_client import ENVELOPE, Legacy, Modern, Reply, pool, post

from gateway.strict import parse, parse_exactly

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("strict")]  # one gateway for all of them

POLICY = 'agent = "ada"\ndescription = "Keeps."\n[[allow]]\ntool = "*/*"\n'
MAX_BODY = 900_000
Era = Literal["modern", "legacy"]


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with keeping({"keep": {"type": "object"}}) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(keeper: Keeper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    servers = f'[servers.shop]\nurl = "{keeper.url}"\nera = "modern"\n[throttle]\nper_second = 10000\nburst = 100000\n'
    with GatewayProcess(
        tmp_path_factory.mktemp("strict"), servers, {"ada.toml": POLICY}, settings=f"max_body = {MAX_BODY}"
    ) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Wire:
    """Sends a call of `keep` whose argument `x` is the very bytes given, or a body that is."""

    client: Modern | Legacy

    async def call(self, value: bytes) -> Reply:
        params: dict[str, Any] = {"name": "keep", "arguments": {"x": "@"}}
        if isinstance(self.client, Modern):
            params["_meta"] = ENVELOPE
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        return await self.send(body.replace(b'"@"', value))

    async def send(self, body: bytes) -> Reply:
        if isinstance(self.client, Legacy):
            return await post(self.client.session, self.client.url, {**self.client.headers, **self.client.extra}, body)
        headers, _ = self.client.message("tools/call", {"name": "keep"}, 1)
        return await post(self.client.session, self.client.url, headers, body)


@pytest.fixture(params=["modern", "legacy"])
async def wire(request: pytest.FixtureRequest, gateway: GatewayProcess) -> AsyncIterator[Wire]:
    async with pool() as session:
        where = (session, gateway.url("/mcp/shop"), gateway.headers("ada"))
        client: Modern | Legacy = Modern(*where) if request.param == "modern" else Legacy(*where)
        if isinstance(client, Legacy):
            await client.open()
        yield Wire(client)


DEEP = 61
"""Levels that fit in an argument: the message, its params and their arguments are three."""
REFUSED = {
    "a key twice": (b'{"a":1,"a":1}', "key twice"),
    "a key twice, once escaped": (b'{"name":1,"\\u006eame":2}', "key twice"),
    "a key twice, deep inside": (b'[{"b":[{"c":{"a":1,"d":2,"a":3}}]}]', "key twice"),
    "NaN": (b"NaN", "not JSON"),
    "Infinity": (b"[-Infinity]", "not JSON"),
    "a number beyond a double": (b"1e400", "double"),
    "a negative number beyond a double": (b"[-1e400]", "double"),
    "an integer beyond 64 bits": (b"18446744073709551616", "64 bits"),
    "a negative integer beyond 64 bits": (b"-9223372036854775809", "64 bits"),
    "an integer of 5000 digits": (b"1" * 5000, "double"),
    "invalid UTF-8": (b'"\xff"', "UTF-8"),
    "an overlong form": (b'"\xc0\xaf"', "UTF-8"),
    "a surrogate in UTF-8": (b'"\xed\xa0\x80"', "UTF-8"),
    "half a surrogate pair": (b'"\\ud800"', "surrogate"),
    "the other half": (b'"\\udc00"', "surrogate"),
    "one level too many": (b"[" * (DEEP + 1) + b"]" * (DEEP + 1), "64 levels"),
    "100,000 levels": (b"[" * 100_000 + b"]" * 100_000, "64 levels"),
    "100,000 levels of objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "64 levels"),
    "trailing comma": (b"[1,]", "not JSON"),
    "a comment": (b"1 /* one */", "not JSON"),
    "single quotes": (b"'a'", "not JSON"),
    "a raw line break in a string": (b'"a\nb"', "not JSON"),
    "nothing": (b"", "not JSON"),
}
BODIES = {
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-8"),
    "something after its end": (b"{} {}", "not JSON"),
    "nothing at all": (b"", "not JSON"),
}
TAKEN = [
    b"18446744073709551615",
    b"-9223372036854775808",
    b'"\\ud83d\\ude00"',
    b'{"a":1,"A":2}',
    b"1.5e300",
    b"[" * DEEP + b"]" * DEEP,
    b'{"":{"":[]}}',
    b"-0.0",
    b"null",
]


def complaint(reply: Reply) -> str:
    error = reply.message["error"]
    assert reply.status == 400 and error["code"] == -32700 and reply.message["id"] is None, reply
    return str(error["message"])


@pytest.mark.parametrize(("value", "told"), REFUSED.values(), ids=REFUSED)
async def test_an_ambiguous_value_is_a_parse_error_and_reaches_nobody(
    wire: Wire, keeper: Keeper, value: bytes, told: str
) -> None:
    before = len(keeper.calls)
    assert told in complaint(await wire.call(value))
    assert len(keeper.calls) == before


@pytest.mark.parametrize(("body", "told"), BODIES.values(), ids=BODIES)
async def test_a_body_that_is_not_one_value_is_a_parse_error(wire: Wire, body: bytes, told: str) -> None:
    assert told in complaint(await wire.send(body))


async def test_a_key_twice_in_the_envelope_is_a_parse_error(wire: Wire, keeper: Keeper) -> None:
    before = len(keeper.calls)
    for body in (
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"keep"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"keep"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"keep","\\u006eame":"other"}}',
    ):
        assert "key twice" in complaint(await wire.send(body))
    assert len(keeper.calls) == before


async def test_a_batch_is_refused(wire: Wire) -> None:
    reply = await wire.send(b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]')
    assert reply.status == 400 and "error" in reply.message


@pytest.mark.parametrize("value", TAKEN, ids=range(len(TAKEN)))
async def test_what_is_plain_json_arrives_as_it_was_meant(wire: Wire, keeper: Keeper, value: bytes) -> None:
    assert (await wire.call(value)).ok
    assert keeper.arguments[-1] == {"x": json.loads(value)}


async def test_what_is_sent_on_is_the_plain_form_of_what_was_judged(wire: Wire, keeper: Keeper) -> None:
    assert (await wire.call(b'{ "\\u0061" :\t"\\u0062\\/" ,\n"n":1.50e1 }')).ok
    assert b'"arguments":{"x":{"a":"b/","n":15.0}}' in keeper.calls[-1]


async def test_a_body_may_be_as_large_as_is_set_and_no_byte_more(wire: Wire, keeper: Keeper) -> None:
    frame = len((await measured(wire)).replace(b"@", b""))
    fits = b'"' + b"x" * (MAX_BODY - frame) + b'"'
    assert (await wire.call(fits)).ok
    before = len(keeper.calls)
    assert (await wire.call(fits[:-1] + b'y"')).status == 413
    assert len(keeper.calls) == before


async def measured(wire: Wire) -> bytes:
    """The body of a call whose argument is `@`."""
    sent: list[bytes] = []

    class Listening(Wire):
        async def send(self, body: bytes) -> Reply:
            sent.append(body)
            return Reply(0, {}, 0.0, b"")

    await Listening(wire.client).call(b'"@"')
    return sent[0]


@pytest.mark.parametrize("version", ["2026-07-28", "2025-11-25", ""])
async def test_whoever_has_no_token_is_told_nothing_about_what_was_sent(gateway: GatewayProcess, version: str) -> None:
    headers = {"MCP-Protocol-Version": version} if version else {}
    async with pool() as session:
        for body in (b'{"a":1,"a":2}', b"[" * 100_000, b"x" * (MAX_BODY + 1), b'{"id":1}'):
            assert (await post(session, gateway.url(), headers, body)).status == 401


@pytest.fixture(scope="module")
def cases(corpora: Path) -> list[tuple[str, bytes]]:
    rows = map(json.loads, (corpora / "jsontestsuite.jsonl").read_text().splitlines())
    return [(row["id"], base64.b64decode(row["base64"])) for row in rows]


def is_refused(name: str) -> bool:
    return name.startswith("n_") or name.startswith("y_object_duplicated_key")


async def test_jsontestsuite_is_judged_right_as_a_body(wire: Wire, cases: list[tuple[str, bytes]]) -> None:
    wrong = []
    for name, body in cases:
        reply = await wire.send(body)
        code = reply.message.get("error", {}).get("code")
        if reply.status >= 500 or (not name.startswith("i_") and (code == -32700) != is_refused(name)):
            wrong.append((name, reply.status, code))
    assert not wrong


async def test_jsontestsuite_is_judged_right_as_an_argument(
    wire: Wire, keeper: Keeper, cases: list[tuple[str, bytes]]
) -> None:
    wrong = []
    for name, value in cases:
        before = len(keeper.calls)
        reply = await wire.call(value)
        arrived = len(keeper.calls) > before
        read = arrived or reply.reason == "unsafe_arguments"  # what it says is another matter
        if reply.status >= 500 or (not name.startswith("i_") and read == is_refused(name)):
            wrong.append((name, reply.status, reply.message))
        elif arrived and name.startswith("y_"):
            assert keeper.arguments[-1] == {"x": json.loads(value)}, name
    assert not wrong


async def test_jsontestsuite_never_crashes_the_reader(cases: list[tuple[str, bytes]]) -> None:
    for name, body in cases:
        for read in (parse, parse_exactly):
            try:
                read(body)
            except ValueError:
                assert not name.startswith("y_") or is_refused(name)
            else:
                assert not is_refused(name)
