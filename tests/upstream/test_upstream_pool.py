"""Connections: kept while they are good, never used twice for one request, and none is left behind."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from upstream_parts import until
from upstream_raw import Raw, echo, ok, says

from gateway.upstream.dial import first_of
from gateway.upstream.pool import Pool
from gateway.upstream.response import CutShort, NotSent

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module", params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


async def fetch(pool: Pool, body: bytes = b"x", **headers: str) -> bytes:
    response = await pool.request("POST", "/mcp", headers, body)
    try:
        return await response.read(1 << 20)
    finally:
        response.close()


async def hang(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await server.request(reader)
    writer.write(HEAD + b"1\r\na\r\n")
    await reader.read()


async def test_requests_in_turn_share_one_connection_and_go_out_as_given(serve: Any) -> None:
    server, pool = await serve(echo)
    for number in range(20):
        assert await fetch(pool, b"%d" % number, Name="größe") == b"%d" % number
    host = f"127.0.0.1:{server.port}"
    assert server.connections == 1 and len(server.requests) == 20
    sent = f"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nName: größe\r\n\r\n0"
    assert server.requests[0] == sent.encode()
    (await pool.request("GET", "/mcp?a=b", {})).close()
    assert server.requests[-1] == f"GET /mcp?a=b HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def test_two_hundred_requests_at_once_each_get_their_own_answer(serve: Any) -> None:
    server, pool = await serve(echo)
    for _ in range(3):
        bodies = [b"%d" % number for number in range(200)]
        assert await asyncio.gather(*(fetch(pool, body) for body in bodies)) == bodies
    assert server.connections <= 200 and len(server.requests) == 600


def keep_the_loop_busy() -> None:
    time.sleep(0.06)


async def test_a_connection_the_server_closed_is_not_used_even_if_the_loop_was_too_busy_to_notice(serve: Any) -> None:
    server, pool = await serve(says(ok(b"a"), close=True))
    for number in range(1, 6):
        assert await fetch(pool) == b"a"
        await until(lambda: server.open == 0)
        await asyncio.sleep(0)
        keep_the_loop_busy()
        assert len(server.requests) == server.connections == number


async def test_a_connection_is_closed_when_it_has_been_idle_for_long(serve: Any) -> None:
    server, pool = await serve(echo, idle=0.05)
    await asyncio.gather(*(fetch(pool) for _ in range(5)))
    await until(lambda: server.open == 0)
    await fetch(pool)
    assert server.connections == 6


async def test_a_connection_is_given_up_before_the_server_says_it_will(serve: Any) -> None:
    server, pool = await serve(says(ok(b"a", b"Keep-Alive: timeout=1"), ok(b"b")))
    assert [await fetch(pool), await fetch(pool)] == [b"a", b"a"]
    assert server.connections == 2


@pytest.mark.parametrize("extra", [ok(b"b"), b"x", b"\0"], ids=["an answer", "a letter", "NUL"])
async def test_bytes_after_an_answer_never_answer_the_next_request(serve: Any, extra: bytes) -> None:
    server, pool = await serve(says(ok(b"a") + extra))
    assert [await fetch(pool), await fetch(pool)] == [b"a", b"a"]
    assert server.connections == 2


async def test_bytes_on_an_idle_connection_never_answer_the_next_request(serve: Any) -> None:
    async def eager(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ok(await server.request(reader)))
        await asyncio.wait_for(go.wait(), 5)
        writer.write(ok(b"unasked"))
        await reader.read()

    go = asyncio.Event()
    server, pool = await serve(eager)
    assert await fetch(pool, b"first") == b"first"
    go.set()
    await until(lambda: server.open == 0)
    assert await fetch(pool, b"second") == b"second"


@pytest.mark.parametrize("headed", [True, False], ids=["in the body", "before the head"])
async def test_a_cancelled_request_closes_its_connection(serve: Any, headed: bool) -> None:
    async def silent(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        await reader.read()

    server, pool = await serve(hang if headed else silent)
    tasks = [asyncio.create_task(fetch(pool)) for _ in range(20)]
    await until(lambda: len(server.requests) == 20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: server.open == 0)
    assert all(task.cancelled() for task in tasks) and len(server.requests) == 20


async def test_a_response_that_is_left_spares_its_connection_if_it_ends_soon(serve: Any) -> None:
    async def stream(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            writer.write(HEAD + b"1\r\na\r\n")
            await asyncio.wait_for(left.wait(), 5)
            left.clear()
            writer.write(b"0\r\n\r\n" if server.connections == 1 else b"ffffff\r\n" + b"b" * 600_000)

    left = asyncio.Event()
    server, pool = await serve(stream)

    async def leave() -> None:
        response = await pool.request("POST", "/mcp", {}, b"x")
        assert await response.chunk() == b"a"
        response.leave()
        left.set()
        await until(lambda: response.done)

    for _ in range(3):
        await leave()
    assert server.connections == 1
    async with asyncio.TaskGroup() as group:
        group.create_task(leave())
        server.connections += 1  # from here on the stream goes on and on
    await leave()
    await until(lambda: server.open == 0)


async def test_a_slow_reader_holds_up_the_server_and_not_the_memory(serve: Any) -> None:
    total, piece = 64 << 20, b"x" * 65536

    async def flood(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while server.sent < total:
            writer.write(piece)
            server.sent += len(piece)
            await writer.drain()
        await reader.read()

    server, pool = await serve(flood)
    response = await pool.request("POST", "/mcp", {}, b"x")
    seen, still = -1, 0
    while still < 20:
        seen, still = server.sent, still + 1 if server.sent == seen else 0
        await asyncio.sleep(0.005)
    assert server.sent < total / 2
    biggest = received = 0
    while chunk := await response.chunk():
        biggest, received = max(biggest, len(chunk)), received + len(chunk)
    assert received == total and biggest <= 1 << 20


async def test_an_answer_before_the_request_was_taken_is_read_but_the_connection_is_not_kept(serve: Any) -> None:
    async def hasty(server: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(ok(b"too much"))
        await asyncio.wait_for(over.wait(), 5)

    over = asyncio.Event()
    server, pool = await serve(hasty)
    assert await fetch(pool, b"x" * (32 << 20)) == b"too much"
    over.set()
    await until(lambda: server.open == 0)


async def test_closing_the_pool_ends_what_is_under_way(serve: Any) -> None:
    server, pool = await serve(hang)
    tasks = [asyncio.create_task(fetch(pool)) for _ in range(5)]
    await until(lambda: len(server.requests) == 5)
    await pool.close()
    assert [type(failed) for failed in await asyncio.gather(*tasks, return_exceptions=True)] == [CutShort] * 5
    await until(lambda: server.open == 0)


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/mcp", {"A": "b\r\nC: d"}),
        ("POST", "/mcp", {"A": "b\n"}),
        ("POST", "/mcp", {"A": "b\0"}),
        ("POST", "/mcp", {"A": "\ud800"}),
        ("POST", "/mcp", {"A\r\nB": "c"}),
        ("POST", "/mcp", {"A: b": "c"}),
        ("POST", "/mcp", {"": "c"}),
        ("POST", "/mcp", {"Größe": "c"}),
        ("POST", "/mcp", {"hOST": "elsewhere"}),
        ("POST", "/mcp", {"Content-Length": "0"}),
        ("POST", "/mcp", {"Transfer-Encoding": "chunked"}),
        ("POST", "/mcp HTTP/1.1\r\nA: b", {}),
        ("POST", "http://elsewhere/", {}),
        ("POST /", "/mcp", {}),
    ],
)
async def test_a_request_that_would_read_as_another_is_never_sent(
    serve: Any, method: str, target: str, headers: dict[str, str]
) -> None:
    server, pool = await serve(echo)
    with pytest.raises(ValueError):
        await pool.request(method, target, headers, b"")
    assert server.connections == 0


async def test_nothing_was_sent_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        pool = Pool(f"http://127.0.0.1:{free.getsockname()[1]}/")
        with pytest.raises(NotSent, match="ConnectionRefusedError"):
            await fetch(pool)
    await pool.close()


@pytest.fixture
def deaf() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(listener.getsockname())
        yield listener.getsockname()


async def test_an_address_that_is_deaf_does_not_keep_the_next_one_waiting(serve: Any, deaf: tuple[str, int]) -> None:
    server, _ = await serve(echo)
    found = [
        (int(socket.AF_INET), int(socket.SOCK_STREAM), 0, "", address)
        for address in (deaf, ("127.0.0.1", server.port), ("127.0.0.1", 1))
    ]
    sock = await asyncio.wait_for(first_of(found), 2)
    assert sock.getpeername() == ("127.0.0.1", server.port)
    sock.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first_of(found[:1]), 0.1)
