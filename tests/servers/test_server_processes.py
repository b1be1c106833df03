"""The servers as real processes: credentials, both protocol eras, starting and stopping."""

from __future__ import annotations

import signal
import socket

import httpx2
import psutil
import pytest
from shop import KEYS, dialled, running, tell

from servers import __main__ as all_servers
from servers import app, catalog
from servers.__main__ import SERVERS

KEY = KEYS["PAYMENT_KEY"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer wrong")],
        [("Authorization", KEY)],
        [("Authorization", f"Bearer {KEY}x")],
        [("Authorization", "Bearer key-of-inventory")],
        [("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer wrong")],
    ],
)
@pytest.mark.parametrize("path", ["/mcp", "/"])
def test_a_request_without_the_right_credential_is_refused(payment, headers, path):
    url = payment.url("payment").removesuffix("/mcp") + path
    answer = httpx2.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "PAYMENT_KEY" in answer.text
    assert KEY not in answer.text


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
async def test_both_protocol_eras_are_served(payment, mode):
    async with dialled(payment.url("payment"), KEY, mode) as client:
        assert len((await client.list_tools()).tools) == 3
        score = await tell(client)("check_fraud_score", order_id="O-1", card_token="tok_fraud", amount=1)
        assert score["decision"] == "reject"


def test_a_server_that_cannot_start_says_why_and_how_to_mend_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CATALOG_KEY", "k")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert app.main(catalog.SERVER, ["--port", port, "--db", str(tmp_path / "c.db")]) == 2
    assert capsys.readouterr().err == (
        f"catalog cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Stop what uses it, or pass another --host or --port.\n"
    )
    (tmp_path / "text.db").write_text("This is not a database. " * 100)
    assert app.main(catalog.SERVER, ["--port", "0", "--db", str(tmp_path / "text.db")]) == 2
    assert "text.db: file is not a database. Pass" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        app.main(catalog.SERVER, ["--port", "65536"])
    assert "give a number from 0 to 65535" in capsys.readouterr().err


def test_missing_credentials_are_all_named_at_once(monkeypatch, capsys):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    assert app.main(catalog.SERVER, []) == 2
    assert "set CATALOG_KEY to a secret" in capsys.readouterr().err
    monkeypatch.setenv("CATALOG_KEY", "k")
    monkeypatch.setenv("PAYMENT_KEY", "")
    assert all_servers.main([]) == 2
    missing = [name for name in KEYS if name != "CATALOG_KEY"]
    assert f"set {', '.join(missing)}, each" in capsys.readouterr().err


async def test_a_credential_can_be_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CATALOG_KEY", raising=False)
    monkeypatch.setenv("CATALOG_KEY_FILE", str(tmp_path / "key"))
    assert app.main(catalog.SERVER, []) == 2
    assert f"'{tmp_path / 'key'}'. Let CATALOG_KEY_FILE name a text file" in capsys.readouterr().err
    (tmp_path / "key").write_text("")
    assert app.main(catalog.SERVER, []) == 2
    assert "or CATALOG_KEY_FILE" in capsys.readouterr().err
    (tmp_path / "key").write_text("from a file\n")
    keys = {"CATALOG_KEY_FILE": str(tmp_path / "key")}
    with running("servers.catalog", "--port", "0", "--db", str(tmp_path / "c.db"), keys=keys) as server:
        async with dialled(server.url("catalog"), "from a file", "auto") as client:
            assert (await client.list_tools()).tools


async def test_a_server_says_one_line_and_an_open_stream_does_not_hold_up_its_stop(tmp_path):
    db = str(tmp_path / "inventory.db")
    with running("servers.inventory", "--port", "0", "--db", db) as server:
        url, key = server.url("inventory"), KEYS["INVENTORY_KEY"]
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
            accept = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
            hello = {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            }
            request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
            session = (await http.post(url, json=request, headers=accept)).headers["mcp-session-id"]
            async with http.stream("GET", url, headers={**accept, "mcp-session-id": session}) as stream:
                assert stream.status_code == 200
                server.process.terminate()
                assert server.process.wait(10) == 0
        assert server.lines == [f"inventory ready on {url}"]
        # A stop that had to cut something off would say so here.
        assert server.process.stderr.read() == ""


def test_a_server_stops_when_the_stdin_it_watches_closes(tmp_path):
    db = str(tmp_path / "pricing.db")
    with running("servers.pricing", "--port", "0", "--db", db, "--watch-stdin") as server:
        server.process.stdin.close()
        assert server.process.wait(10) == 0


def test_all_servers_run_together_and_none_survives_a_killed_parent(tmp_path):
    with running("servers", "--base-port", "0", "--data", str(tmp_path), servers=8) as servers:
        with httpx2.Client() as http:
            for server in SERVERS:
                headers = [{"Authorization": f"Bearer {key}"} for key in KEYS.values()]
                answers = [http.post(servers.url(server.name), json={}, headers=header) for header in headers]
                let_in = [name for name, answer in zip(KEYS, answers, strict=True) if answer.status_code != 401]
                assert let_in == [f"{server.name.upper()}_KEY"]
        children = psutil.Process(servers.process.pid).children()
        assert len(children) == 8
        servers.process.kill()
        gone, alive = psutil.wait_procs(children, timeout=10)
        assert (len(gone), alive) == (8, [])
    assert {path.name for path in tmp_path.glob("*.db")} == {f"{server.name}.db" for server in SERVERS}


def test_one_killed_server_leaves_the_others_and_a_signal_stops_them(tmp_path):
    with running("servers", "--base-port", "0", "--data", str(tmp_path), servers=8) as servers:
        children = psutil.Process(servers.process.pid).children()
        children[1].kill()
        assert servers.process.stderr.readline() == "inventory ended with status -9.\n"
        assert httpx2.get(servers.url("records")).status_code == 401
        servers.process.send_signal(signal.SIGINT)
        assert servers.process.wait(10) == 0
        gone, alive = psutil.wait_procs(children, timeout=10)
        assert (len(gone), alive) == (8, [])
