"""A gateway in a process of its own: what it writes down, what it signs, and the command line that proves it."""

from __future__ import annotations

import io
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from databases import new_database
from gateway_process import CLI, GatewayProcess
from processes import finish
from raw_client import Modern, eventually, pool
from recorder import Nursery, shops

from gateway.cli import main

POLICY = 'agent = "worker"\ndescription = "Calls."\n[[allow]]\ntool = "shop/note"\nlimit = ["1000/minute"]\n'
POLICIES = {"worker.toml": POLICY}
SECRET = "s3cr3t-canary-of-the-shop"


def servers(shop: Any, extra: str = "") -> str:
    return f'[audit]\ninterval = 1\n{extra}\n[servers.shop]\nurl = "{shop.url}"\nheaders = {{ X-Key = "{SECRET}" }}\n'


def audit(gateway: GatewayProcess, *arguments: str, status: int = 0) -> str:
    """What `toolgate audit ...` prints."""
    return toolgate(gateway, "audit", *arguments, status=status)


def toolgate(gateway: GatewayProcess, *arguments: str, status: int = 0) -> str:
    """What a verb prints; in this process, for a new one takes its time."""
    raw = io.BytesIO()
    told = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    with redirect_stdout(told), redirect_stderr(told):
        ended = main([*arguments, "--config", str(gateway.config)])
    printed = raw.getvalue().decode()
    assert ended == status, printed
    return printed


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest) -> Iterator[str]:
    """Lines of the table `[gateway]` that say which database it is."""
    if request.param == "sqlite":
        yield ""
    else:
        with new_database() as url:
            yield f'database = "{url}"\nreplica = "one"'


async def test_what_a_gateway_did_is_proved_and_read(nursery: Nursery, tmp_path: Path, settings: str) -> None:
    with shops(nursery, tmp_path, "shop") as (shop,):
        with GatewayProcess(tmp_path, servers(shop), POLICIES, settings=settings) as gateway:
            token = json.loads(toolgate(gateway, "token", "create", "worker", "--json"))
            async with pool() as session:
                agent = Modern(session, gateway.url(), {"Authorization": f"Bearer {token['token']}"})
                assert (await agent.call("shop__note", {"text": f"say {SECRET} aloud"})).ok
                assert not (await agent.call("shop__absent", {"text": "no"})).ok
            checkpoints = tmp_path / "var" / "checkpoints.jsonl"
            await eventually(checkpoints.exists, 10)
            assert "All of it is what was written." in audit(gateway, "verify")
        report = json.loads(audit(gateway, "verify", "--json"))
        assert report["ok"] and report["checkpoints"] >= 2 and report["unwitnessed"] <= 1
        chain = "main" if not settings else "one"
        whole = [json.loads(line) for line in audit(gateway, "export").splitlines()]
        kinds = [event["kind"] for event in whole if event["chain"] == chain]
        assert kinds.index("start") < kinds.index("policy") < kinds.index("intent") < kinds.index("stop")
        (outcome,) = [event["data"] for event in whole if event["kind"] == "outcome"]
        assert outcome["spends"] == "committed" and "[masked by toolgate]" in outcome["preview"]
        assert SECRET not in audit(gateway, "export", "--kind", "outcome")
        (refusal,) = json.loads(audit(gateway, "search", "--kind", "refusal", "--since", "1h", "--json"))
        assert refusal["reason"] == "not_found"
        assert json.loads(audit(gateway, "search", "--reason", "nothing", "--json")) == []
        lines = audit(gateway, "tail", "--limit", "3").splitlines()
        assert len(lines) == 4 and lines[0].split() == ["AT", "EVENT", "KIND", "AGENT", "TOOL", "CALL", "WHAT"]
        shown = audit(gateway, "show", refusal["call"])
        assert "shop" in shown and "not_found" in shown
        assert f"event   {chain}/1\n" in audit(gateway, "show", f"{chain}/1")
        assert "no event and no call" in audit(gateway, "show", "nosuch", status=1)


async def test_an_export_is_proved_without_the_store(nursery: Nursery, tmp_path: Path) -> None:
    with shops(nursery, tmp_path, "shop") as (shop,), GatewayProcess(tmp_path, servers(shop), POLICIES) as gateway:
        async with pool() as session:
            agent = Modern(session, gateway.url(), gateway.headers("worker"))
            for number in range(5):
                assert (await agent.call("shop__note", {"text": f"number {number}"})).ok
    export, away = tmp_path / "away" / "export.jsonl", tmp_path / "away"
    away.mkdir()
    audit(gateway, "export", str(export))
    assert "is there already" in audit(gateway, "export", str(export), status=1)
    for name in ("audit.pub", "checkpoints.jsonl"):
        (tmp_path / "var" / name).rename(away / name)
    command = (*CLI, "audit", "verify", "--export", str(export), "--key", str(away / "audit.pub"))
    command = (*command, "--checkpoint", str(away / "checkpoints.jsonl"), "--config", "/nowhere")
    done = finish(command, 60)
    assert done.returncode == 0 and "All of it is what was written." in done.stdout
    export.write_bytes(export.read_bytes().replace(b"number 3", b"number 8", 1))
    done = finish(command, 60)
    assert done.returncode == 1 and "WRONG  main/" in done.stdout


async def test_a_key_is_rotated_beside_a_running_gateway(nursery: Nursery, tmp_path: Path) -> None:
    with shops(nursery, tmp_path, "shop") as (shop,):
        with GatewayProcess(tmp_path, servers(shop), POLICIES) as gateway:
            before = json.loads(audit(gateway, "key", "--json"))
            new = json.loads(audit(gateway, "rotate", "--by", "ada", "--json"))
            gateway.token("worker")
        assert [each["signs"] for each in json.loads(audit(gateway, "key", "--json"))] == [False, True]
        assert new["previous"] == before[0]["id"]
        assert "All of it" in audit(gateway, "verify")
        (event,) = json.loads(audit(gateway, "search", "--kind", "key", "--json"))
        assert event["data"]["by"] == "ada" and event["data"]["key"] == new["id"]
        lines = [json.loads(line) for line in (tmp_path / "var" / "checkpoints.jsonl").read_text().splitlines()]
        assert lines[-1]["key"] == new["id"]


async def test_an_altered_log_fails_verification(nursery: Nursery, tmp_path: Path) -> None:
    import sqlite3

    with shops(nursery, tmp_path, "shop") as (shop,):
        with GatewayProcess(tmp_path, servers(shop), POLICIES) as gateway:
            gateway.token("worker")
        with sqlite3.connect(tmp_path / "var" / "toolgate.db") as database:
            database.execute("UPDATE events SET agent = 'eve' WHERE kind = 'token'")
        told = audit(gateway, "verify", status=1)
        assert "WRONG  main/" in told and "Wrong places: 1." in told
        gateway.start()
        gateway.stop()
        assert "WRONG" in audit(gateway, "verify", status=1)


@contextmanager
def receiver() -> Iterator[tuple[ThreadingHTTPServer, list[bytes]]]:
    """Takes what is posted while its `status` is 200, and serves it."""
    taken: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if server.status == 200:  # type: ignore[attr-defined]
                taken.append(body)
            self.send_response(server.status)  # type: ignore[attr-defined]
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"".join(taken))

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status = 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server, taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_checkpoints_reach_a_url_in_order_through_an_outage(nursery: Nursery, tmp_path: Path) -> None:
    with shops(nursery, tmp_path, "shop") as (shop,), receiver() as (server, taken):
        url = f"http://127.0.0.1:{server.server_address[1]}/checkpoints"
        with GatewayProcess(tmp_path, servers(shop, f'checkpoints = "{url}"'), POLICIES) as gateway:
            await eventually(lambda: len(taken) > 0, 10)
            server.status = 503  # type: ignore[attr-defined]
            gateway.token("worker")
            await eventually(lambda: "checkpoints cannot be sent" in gateway.output, 10)
            gateway.token("worker")
            server.status = 200  # type: ignore[attr-defined]
            await eventually(lambda: "checkpoints can be sent again" in gateway.output, 10)
        local = (tmp_path / "var" / "checkpoints.jsonl").read_bytes()
        assert b"".join(taken) == local
        assert "All of it" in audit(gateway, "verify", "--checkpoint", url)
        sent = (tmp_path / "var" / "checkpoints.jsonl.sent").read_text()
        assert int(sent) == len(local)


def test_a_log_that_is_followed_shows_what_comes(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("")
    command = (*CLI, "audit", "tail", "-f", "--json", "--config", str(tmp_path / "gateway.toml"))
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        done = finish((*CLI, "read-only", "on", "--config", str(tmp_path / "gateway.toml")), 60)
        assert done.returncode == 0, done.stderr
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["data"]["read_only"] is True
    finally:
        following.kill()
        following.communicate()
