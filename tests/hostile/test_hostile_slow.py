"""Clients that take their time, or only take up room: each is ended within a bound, and others do not notice."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
from gateway_process import GatewayProcess
from hostile_parts import POLICIES, Wire, hear, note
from recorder import Shop, wait_until

pytestmark = pytest.mark.xdist_group("hostile-slow")  # one gateway for all of them

PATIENCE, CONNECTIONS = 1.0, 100
SETTINGS = f"client_timeout = {PATIENCE}\nmax_connections = {CONNECTIONS}\n"
SLACK = 8.0
"""Seconds more that a loaded machine may take."""
CROWD = 10_000 if os.environ.get("TOOLGATE_LONG") else 1_500
LARGE = "x" * 1_000_000


def served(shop: Shop, tmp_path_factory: pytest.TempPathFactory, settings: str) -> GatewayProcess:
    server = f'[servers.shop]\nurl = "{shop.url}"\nera = "modern"\n'
    return GatewayProcess(tmp_path_factory.mktemp("slow"), server, POLICIES, settings=settings)


@pytest.fixture(scope="module")
def gateway(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with served(shop, tmp_path_factory, SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def wire(gateway: GatewayProcess) -> Wire:
    return Wire.to(gateway)


def held(gateway: GatewayProcess) -> int:
    """Connections of clients that the process has, as the system sees it."""
    connections = psutil.Process(gateway.process.pid).net_connections("tcp")
    return sum(each.laddr.port == gateway.port and each.status != "LISTEN" for each in connections)


def drip(connection: socket.socket, pieces: Iterator[bytes]) -> float:
    """Send piece by piece until the other side has enough; the seconds that took."""
    begun = time.monotonic()
    connection.settimeout(0.1)
    for piece in pieces:
        try:
            connection.sendall(piece)
            if not connection.recv(65536):
                break
        except TimeoutError:
            assert time.monotonic() - begun < PATIENCE + SLACK, "it is still listened to"
        except OSError:
            break
    return time.monotonic() - begun


def letters(text: bytes) -> Iterator[bytes]:
    """One byte at a time, and when they are all said, the last one again."""
    yield from (text[at : at + 1] for at in range(len(text)))
    while True:
        yield text[-1:]


def test_a_head_that_does_not_end_is_not_waited_for(wire: Wire) -> None:
    for begun in (b"", b"\r\n", b"POST /mcp HTTP/1.1\r\n", b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: "):
        with wire.connected() as connection:
            connection.sendall(begun)
            heard = hear(connection)
        assert heard.closed and heard.statuses == [408], begun


@pytest.mark.parametrize("said", [b"GET /healthz HTTP/1.1\r\nX: aaaa", b"\r\n", b"GET /a"])
def test_a_head_in_drops_is_not_waited_for(wire: Wire, said: bytes) -> None:
    with wire.connected() as connection:
        assert PATIENCE * 0.5 < drip(connection, letters(said)) < PATIENCE + SLACK


def test_a_body_in_drops_is_not_waited_for_and_nothing_runs(wire: Wire, shop: Shop) -> None:
    body = note("dripped" + "x" * 100_000)
    for head in ((f"Content-Length: {len(body)}",), ("Transfer-Encoding: chunked",)):
        with wire.connected() as connection:
            connection.sendall(b"POST /mcp HTTP/1.1\r\n" + wire.head(*head) + b"\r\n")
            assert drip(connection, letters(body if "Length" in head[0] else b"1\r\na\r\n" * 100)) < PATIENCE + SLACK
    assert not [line for line in shop.executions() if line["text"].startswith("dripped")]


def test_a_body_that_nobody_reads_is_not_taken_for_ever(wire: Wire) -> None:
    """Refused at its head: what follows is thrown away, for so long."""
    with wire.connected() as connection:
        connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 100000000\r\n\r\n")
        assert drip(connection, letters(b"x")) < PATIENCE + SLACK


def test_the_second_request_of_a_connection_has_no_more_time_than_the_first(wire: Wire) -> None:
    with wire.connected() as connection:
        connection.sendall(wire.call("first"))
        assert b'"first"' in hear(connection, 0.3).raw
        connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: loc")
        heard = hear(connection)
    assert heard.closed and heard.statuses == [408]


def test_a_call_may_take_longer_than_a_client_may(wire: Wire) -> None:
    body = note("slow tool").replace(b'"slow tool"', b'"slow tool", "delay": %.1f' % (PATIENCE * 3))
    with wire.connected() as connection:
        size = f"Content-Length: {len(body)}"
        connection.sendall(b"POST /mcp HTTP/1.1\r\n" + wire.head(size) + b"\r\n" + body)
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")  # and the next one has begun meanwhile
        assert b'"slow tool"' in hear(connection, 0.2).raw


def test_a_client_that_does_not_read_its_answers_is_dropped(gateway: GatewayProcess, wire: Wire) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", gateway.port))
            for _ in range(8):  # more than the system's own buffers hold
                connection.sendall(wire.call(LARGE))
        wait_until(lambda: held(gateway) <= 5, PATIENCE + SLACK)
        assert b'"meanwhile"' in wire.say(wire.call("meanwhile"), silence=0.3).raw
        wait_until(lambda: held(gateway) == 0, PATIENCE * 6 + SLACK)


def test_a_client_that_closes_its_half_leaves_nothing_open(gateway: GatewayProcess, wire: Wire) -> None:
    for said in (b"", b"POST /mcp HTTP/1.1\r\nHos", wire.call("half")[:-5], wire.call("half")):
        with wire.connected() as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE + SLACK)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    wait_until(lambda: held(gateway) == 0, PATIENCE * 6 + SLACK)


def test_connections_have_a_bound_and_whoever_waits_gets_in_when_the_idle_ones_are_ended(
    gateway: GatewayProcess, wire: Wire
) -> None:
    wait_until(lambda: held(gateway) == 0, PATIENCE * 6 + SLACK)
    with ExitStack() as stack:
        idle = [stack.enter_context(wire.connected()) for _ in range(CONNECTIONS)]
        turned_away = wire.say(wire.call("one too many"))
        assert turned_away.closed and turned_away.statuses in ([503], []), turned_away
        assert all(hear(each).statuses == [408] for each in idle)
        wait_until(lambda: b'"patient"' in wire.say(wire.call("patient"), silence=0.3).raw, PATIENCE + SLACK)


def test_a_crowd_of_idle_connections_does_not_keep_others_waiting(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    crowd = min(CROWD, hard // 2 - 100)
    with served(shop, tmp_path_factory, f"max_connections = {crowd + 50}\n") as gateway, ExitStack() as stack:
        wire = Wire.to(gateway)
        for _ in range(crowd):
            stack.enter_context(wire.connected()).sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n")
        wait_until(lambda: held(gateway) >= crowd, SLACK)
        begun = time.monotonic()
        assert wire.say(wire.call("in a crowd") * 10, silence=2.0).statuses == [200] * 10
        assert time.monotonic() - begun < SLACK
        assert b"toolgate" in wire.say(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").raw
