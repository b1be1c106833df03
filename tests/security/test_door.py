"""The way in: which address, which token, which face."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
from gateway_process import GatewayProcess
from raw_client import MODERN
from recorder import Nursery, shops, wait_until

pytestmark = pytest.mark.xdist_group("door")  # one gateway for all of them

SETTINGS = """\
allowed_hosts = ["gate.example", "gate.example:8443"]
allowed_origins = ["https://console.example"]
"""
POLICIES = {"clerk.toml": 'agent = "clerk"\ndescription = "Shops."\n[[allow]]\ntool = "shop/note"\n'}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
FACES = ("/mcp", "/mcp/", "/mcp/shop", "/mcp/vault", "/mcp/nowhere", "/mcp/shop/", "/mcp/../metrics")
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
LIST = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        },
    }
)


@pytest.fixture(scope="module")
def gateway(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("door")
    with shops(nursery, folder, "shop", "vault") as made:
        servers = "".join(f'[servers.{shop.name}]\nurl = "{shop.url}"\n' for shop in made)
        with GatewayProcess(folder, servers, POLICIES, settings=SETTINGS) as running:
            yield running


@pytest.fixture(scope="module")
def valid(gateway: GatewayProcess) -> str:
    return f"Bearer {gateway.token('clerk')}"


def ask(
    gateway: GatewayProcess, method: str, path: str, headers: list[tuple[str, str]], body: str = ""
) -> tuple[int, Mapping[str, str], bytes]:
    """One request, sent as it is written here: status, headers less the date, body."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode())
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders() if name.lower() != "date"}
        return response.status, told, response.read()
    finally:
        connection.close()


def modern(authorization: str, host: str = "localhost", origin: str | None = None) -> list[tuple[str, str]]:
    """The headers of a `tools/list`."""
    extra = {"Host": host, "Authorization": authorization, "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"}
    return [*JSON.items(), *extra.items(), *([] if origin is None else [("Origin", origin)])]


@pytest.mark.parametrize("kind", ["none", "empty", "other scheme", "garbage", "mistyped", "expired", "revoked"])
def test_no_face_answers_anything_without_a_valid_token(gateway: GatewayProcess, valid: str, kind: str) -> None:
    authorization = bad_token(gateway, valid, kind)
    headers = [(name, value) for name, value in modern(authorization or "") if authorization or name != "Authorization"]
    seen = {
        (path, method): ask(gateway, method, path, headers, LIST if method == "POST" else "")
        for path in FACES
        for method in METHODS
    }
    assert {key: status for key, (status, _, _) in seen.items() if status != 401} == {}
    assert len({body for (_, method), (_, _, body) in seen.items() if method != "HEAD"}) == 1
    assert all(told["www-authenticate"].startswith("Bearer") for _, told, _ in seen.values())


def bad_token(gateway: GatewayProcess, valid: str, kind: str) -> str | None:
    token = valid.removeprefix("Bearer ")
    if kind == "expired":
        return f"Bearer {gateway.token('clerk', expires=timedelta(seconds=-1))}"
    if kind == "revoked":
        return f"Bearer {revoked(gateway)}"
    swapped = token[:-10] + ("a" if token[-10] != "a" else "b") + token[-9:]
    others = {"empty": "", "other scheme": f"Basic {token}", "garbage": "Bearer ☃".encode().decode("latin-1")}
    return {**others, "mistyped": f"Bearer {swapped}"}.get(kind)


def revoked(gateway: GatewayProcess) -> str:
    """A token that was good, was used, and has been revoked; the gateway has noticed."""
    with gateway.tokens() as tokens:
        token, row = tokens.create("clerk", expires=None, now=time.time())
        headers = modern(f"Bearer {token}")
        wait_until(lambda: ask(gateway, "POST", "/mcp", headers, LIST)[0] == 200, 2)
        assert tokens.revoke(row.id)
    took = wait_until(lambda: ask(gateway, "POST", "/mcp", headers, LIST)[0] == 401, 2)
    print(f"\nrevoked within {took:.2f} s")
    return token


def test_health_and_metrics_are_open_and_nothing_else_is_there(gateway: GatewayProcess) -> None:
    host = [("Host", "localhost")]
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(gateway, "GET", path, host)[0] == 200
        assert ask(gateway, "POST", path, host)[0] == 405
    for path in ("/", "/mcpx", "/MCP", "/docs", "/openapi.json", "/admin", "/var/secret.key", "/metrics/", "//mcp"):
        status, _, _ = ask(gateway, "GET", path, host)
        assert status in (307, 404), path


def test_a_face_that_an_agent_cannot_reach_and_one_that_does_not_exist_are_the_same(
    gateway: GatewayProcess, valid: str
) -> None:
    for method in METHODS:
        hidden, absent = (
            ask(gateway, method, path, modern(valid), LIST if method == "POST" else "")
            for path in ("/mcp/vault", "/mcp/nowhere")
        )
        assert hidden == absent and hidden[0] == 404, method


def test_the_agent_is_the_tokens_whatever_else_a_request_claims(gateway: GatewayProcess, valid: str) -> None:
    claims = [("X-Forwarded-User", "root"), ("X-Agent", "root"), ("Forwarded", "for=10.0.0.1")]
    plain, claiming = (ask(gateway, "POST", "/mcp", modern(valid) + more, LIST) for more in ([], claims))
    assert plain == claiming and plain[0] == 200


HOSTS = {
    **dict.fromkeys(["localhost", "localhost:1", "localhost:65535", "127.0.0.1", "127.0.0.1:8080", "[::1]"], 200),
    **dict.fromkeys(["[::1]:8080", "gate.example", "gate.example:8443"], 200),
    **dict.fromkeys(["gate.example:8080", "www.gate.example", "gate.example.evil.test", "evil.test"], 421),
    **dict.fromkeys(["0.0.0.0", "0.0.0.0:8080", "[::]", "[::]:8080", "::1", "127.0.0.2", "127.1", "2130706433"], 421),
    **dict.fromkeys(["localhost.", "localhost.:8080", "LOCALHOST", "Localhost:8080", "localhost:", "localhost:x"], 421),
    **dict.fromkeys(["localhost:80:80", "localhost:-1", "localhost:8080/", "localhost/", "localhost#"], 421),
    **dict.fromkeys(["user@localhost", "localhost@evil.test", "localhost:80@evil.test", "evil.test:localhost"], 421),
    **dict.fromkeys(["", "null", "*", "localhost:*", "localhost,evil.test", "localhost evil.test", "[::1"], 421),
    **dict.fromkeys(["[::ffff:127.0.0.1]", "localhost%00", "xn--localhost", "localhost:٣"], 421),
}
ORIGINS = {
    **dict.fromkeys(["http://localhost", "http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:8080"], 200),
    **dict.fromkeys(["https://console.example"], 200),
    **dict.fromkeys(["null", "", "*", "file://", "http://evil.test", "https://localhost.evil.test"], 403),
    **dict.fromkeys(["https://console.example:444", "http://console.example", "https://console.example."], 403),
    **dict.fromkeys(["https://console.example@evil.test", "http://localhost@evil.test", "http://localhost."], 403),
    **dict.fromkeys(["HTTP://LOCALHOST", "localhost", "http://localhost/", "http://0.0.0.0:8080"], 403),
    **dict.fromkeys(["http://localhost http://evil.test", "chrome-extension://localhost", "http://[::]"], 403),
}


@pytest.mark.parametrize("host", HOSTS)
def test_only_known_hosts_are_served(gateway: GatewayProcess, valid: str, host: str) -> None:
    status, _, _ = ask(gateway, "POST", "/mcp", modern(valid, host.encode().decode("latin-1")), LIST)
    assert status == HOSTS[host]


@pytest.mark.parametrize("origin", ORIGINS)
def test_only_known_origins_are_let_in(gateway: GatewayProcess, valid: str, origin: str) -> None:
    status, _, _ = ask(gateway, "POST", "/mcp", modern(valid, origin=origin), LIST)
    assert status == ORIGINS[origin]


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization"])
def test_a_header_that_decides_who_comes_in_may_not_be_there_twice(
    gateway: GatewayProcess, valid: str, name: str
) -> None:
    good = {"Host": "localhost", "Origin": "http://localhost", "Authorization": valid}
    bad = {"Host": "evil.test", "Origin": "http://evil.test", "Authorization": "Bearer no"}
    rest = [pair for pair in modern(valid, origin=good["Origin"]) if pair[0] != name]
    for pair in ((bad, good), (good, bad), (good, good)):
        status, _, _ = ask(gateway, "POST", "/mcp", [*rest, *((name, values[name]) for values in pair)], LIST)
        assert status == 400


def test_a_request_without_a_host_is_not_served(gateway: GatewayProcess, valid: str) -> None:
    headers = [pair for pair in modern(valid) if pair[0] != "Host"]
    assert ask(gateway, "POST", "/mcp", headers, LIST)[0] in (400, 421)


def test_there_are_enough_rows() -> None:
    assert len(HOSTS) + len(ORIGINS) >= 60
