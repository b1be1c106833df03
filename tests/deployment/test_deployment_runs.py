"""docker-compose.yml run as local processes: an order goes through both gateways, and on when one stops."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from composition import ROOT, Composition
from databases import missing
from raw_client import HELLO, LEGACY

AGENTS = ("validation", "inventory", "pricing", "payment", "fulfillment")
ORDER = ROOT / "agents/examples/order.json"
PATIENCE = 100.0
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8 to be loopback"),
    pytest.mark.timeout(300),
]


class Deployment:
    """The composition, and what an operator does with it."""

    def __init__(self, composition: Composition) -> None:
        self.services = composition
        self.events = f"host={composition.addresses['postgres']} user=toolgate dbname=toolgate"
        self.password = (Path(composition.environ["TOOLGATE_SECRETS"]) / "database_password").read_text()

    def wait_for_upstreams(self, gateway: str) -> None:
        """Return when this gateway reaches every tool server: being ready does not wait for them all."""
        until = time.monotonic() + PATIENCE
        while True:
            address = self.services.addresses[gateway]
            with urllib.request.urlopen(f"http://{address}:8080/readyz", timeout=10) as answer:
                upstreams = json.loads(answer.read())["upstreams"]
            if set(upstreams.values()) == {"up"}:
                return
            assert time.monotonic() < until, upstreams
            time.sleep(0.2)

    def told(self, log: Path) -> str:
        """What the agents wrote, and what the gateways warned of."""
        gateways = [self.services.log(name).read_text() for name in ("gateway-1", "gateway-2")]
        return "\n".join(
            [log.read_text(), *(line for text in gateways for line in text.splitlines() if "info" not in line)]
        )

    def order(self, number: str) -> tuple[list[str], Path]:
        """The arguments for an order of its own, and where its output goes."""
        file = self.services.folder / f"{number}.json"
        file.write_text(json.dumps({**json.loads(ORDER.read_text()), "order_id": number}))
        return ["order", "--file", str(file), "--model", "scripted:order", "--json"], file.with_suffix(".log")

    def served(self, number: str, kind: str = "outcome") -> Counter[str]:
        """How many events of this kind each replica wrote about the runs of an order."""
        question = "SELECT chain, count(*) FROM events WHERE kind = %s AND run LIKE %s GROUP BY chain"
        with closing(psycopg.connect(self.events, password=self.password)) as connection:
            return Counter(dict(connection.execute(question, (kind, f"{number}-%")).fetchall()))

    def ask(self, service: str, method: str, params: dict[str, Any], session: str = "") -> tuple[int, str]:
        """What the balancer or a gateway answers to a legacy client: the status, and the session it is in."""
        headers = {"Authorization": f"Bearer {self.services.environ['TOOLGATE_TOKEN_PRICING']}"}
        headers |= {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        if session:
            headers |= {"Mcp-Session-Id": session, "Mcp-Protocol-Version": LEGACY}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection = http.client.HTTPConnection(self.services.addresses[service], 8080, timeout=30)
        with closing(connection):
            connection.request("POST", "/mcp", body, {**headers, "Host": "localhost"})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers.get("Mcp-Session-Id", "")

    def charges(self, number: str) -> int:
        """How often the payment server charged for this order, as it wrote down itself."""
        with closing(sqlite3.connect(self.services.folder / "payment/data/payment.db")) as books:
            found = books.execute("SELECT count(*) FROM charges WHERE order_id = ?", (number,)).fetchone()
        return int(found[0])


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    for needed in ("haproxy", "wget", "make"):
        if shutil.which(needed) is None:
            missing("it is not installed", needed)
    # Not one of pytest's, which only its user may enter: PostgreSQL refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="toolgate-deployment-") as folder:
        Path(folder).chmod(0o711)
        yield from deployed(Path(folder))


def deployed(folder: Path) -> Iterator[Deployment]:
    """Everything of docker-compose.yml up, with new secrets, and a token for each agent."""
    environ = {"TOOLGATE_SECRETS": str(folder / "keys")}
    subprocess.run(["make", "-s", "secrets"], cwd=ROOT, env={**os.environ, **environ}, check=True, capture_output=True)
    with Composition(folder, environ) as composition:
        for agent in AGENTS:
            made = composition.exec("gateway-1", "toolgate", "token", "create", agent, "--json")
            assert made.returncode == 0, made.stderr
            environ[f"TOOLGATE_TOKEN_{agent.upper()}"] = json.loads(made.stdout)["token"]
        deployment = Deployment(composition)
        deployment.wait_for_upstreams("gateway-1")
        deployment.wait_for_upstreams("gateway-2")
        yield deployment


def test_an_order_goes_through_both_gateways(deployment: Deployment) -> None:
    arguments, log = deployment.order("ORD-8001")
    with deployment.services.run("agents", *arguments, log=log) as order:
        assert order.wait(PATIENCE) == 0, deployment.told(log)
    served, intents = deployment.served("ORD-8001"), deployment.served("ORD-8001", "intent")
    assert served == intents
    assert set(served) == {"gateway-1", "gateway-2"}, served
    assert sum(served.values()) == 18
    assert deployment.charges("ORD-8001") == 1


def test_a_legacy_session_stays_at_its_gateway(deployment: Deployment) -> None:
    sessions = [deployment.ask("balancer", "initialize", HELLO)[1] for _ in range(6)]
    owners = [deployment.ask("gateway-1", "ping", {}, session)[0] for session in sessions]
    assert set(owners) == {200, 404}, "all were opened at one gateway"
    for _ in range(3):
        assert {deployment.ask("balancer", "ping", {}, session)[0] for session in sessions} == {200}
    assert deployment.ask("balancer", "ping", {}, "unknown")[0] == 404


def test_an_order_goes_on_when_a_gateway_is_stopped_in_the_middle(deployment: Deployment) -> None:
    services = deployment.services
    arguments, log = deployment.order("ORD-8002")
    with services.run("agents", *arguments, log=log) as order:
        until = time.monotonic() + 60
        while deployment.served("ORD-8002")["gateway-1"] < 2:
            assert order.poll() is None and time.monotonic() < until, deployment.told(log)
            time.sleep(0.05)
        before = deployment.served("ORD-8002")
        assert services.stop("gateway-1") == 0
        assert order.wait(PATIENCE) == 0, deployment.told(log)
    after = deployment.served("ORD-8002")
    assert after["gateway-2"] > before["gateway-2"] and sum(after.values()) == 18
    assert deployment.charges("ORD-8002") == 1
    services.start("gateway-1")
    services.wait_healthy("gateway-1")
    verified = services.exec("gateway-1", "toolgate", "audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    for chain in ("gateway-1", "gateway-2", "cli"):
        assert f"chain {chain}: events 1 to " in verified.stdout, verified.stdout


def test_metrics_are_not_for_clients(deployment: Deployment) -> None:
    def status(service: str) -> int:
        connection = http.client.HTTPConnection(deployment.services.addresses[service], 8080, timeout=30)
        with closing(connection):
            connection.request("GET", "/metrics")
            return connection.getresponse().status

    assert (status("balancer"), status("gateway-2")) == (404, 200)
