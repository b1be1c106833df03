"""Credentials that a tool server says beside MCP: in HTTP's heads, in errors, in garbage. Nobody reads them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil
import pytest
from databases import Place, new_database
from gateway_process import GatewayProcess
from leak import BODIES, HEADS, leaks
from processes import free_port, listening, running
from raw_client import Legacy, Modern, pool
from spellings import SPELLINGS, readable

LEAK = Path(__file__).with_name("leak.py")
AGENTS = ("ada", "bob")
SECRETS = {agent: f'leak.{agent}/Zx9+?&<"q~7c1e' for agent in (*AGENTS, "gateway")}
POLICY = 'agent = "{agent}"\ndescription = "Listens."\n[[allow]]\ntool = "*/say"\n'
HARMLESS = ("session", "cookie", "id of an event")
"""Where what is said does not spoil the answer."""
ONE_LINE = [how for how, spell in SPELLINGS.items() if (said := spell("a b")).isascii() and said.isprintable()]
numbers = count(1)


@dataclass(frozen=True, slots=True)
class Hall:
    gateway: GatewayProcess
    folder: Path
    place: Place
    headers: dict[str, dict[str, str]]


@pytest.fixture(scope="module", params=["sqlite console", "postgresql json"])
def hall(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """Logs in the format for people, or in JSON. One secret comes from a file, the others from the environment."""
    folder, (kind, style) = tmp_path_factory.mktemp("hall"), request.param.split()
    (folder / "bob.secret").write_text(SECRETS["bob"] + "\n")
    values = {"ada": "${LEAK_ADA}", "bob": "${file:bob.secret}", "gateway": "${LEAK_GATEWAY}"}
    with ExitStack() as stack:
        url = stack.enter_context(new_database()) if kind == "postgresql" else None
        place, port = Place(folder / "var/toolgate.db", url), free_port()
        command = (sys.executable, str(LEAK), "--port", str(port))
        stack.enter_context(running(command, lambda: listening(port), folder / "leak.log"))
        table = "[throttle]\nburst = 100000\n[breaker]\nwindow = 100000\nfailures = 100000\n"
        table += f'[servers.leak]\nurl = "http://127.0.0.1:{port}/mcp"\nera = "modern"\n'
        table += f'headers = {{ Authorization = "Bearer {values["gateway"]}" }}\n[servers.leak.credentials]\n'
        table += "".join(f'{agent} = {{ Authorization = "Bearer {values[agent]}" }}\n' for agent in AGENTS)
        environ = {"LEAK_ADA": SECRETS["ada"], "LEAK_GATEWAY": SECRETS["gateway"]}
        policies = {f"{agent}.toml": POLICY.format(agent=agent) for agent in AGENTS}
        settings = f'log_format = "{style}"\n{place.setting}\n'
        gateway = stack.enter_context(GatewayProcess(folder, table, policies, settings=settings, environ=environ))
        yield Hall(gateway, folder, place, {agent: gateway.headers(agent) for agent in AGENTS})


@pytest.mark.parametrize("how", ["raw", "base64", "hex", "url", "html"])
def test_who_looks_for_a_credential_would_find_it(how: str) -> None:
    answers = leaks(SPELLINGS[how](SECRETS["ada"]), 1)
    assert [where for where, answer in answers.items() if not readable(answer, SECRETS["ada"])] == ["packed"]


@pytest.mark.timeout(300)
async def test_what_is_said_beside_mcp_reaches_nobody(hall: Hall) -> None:
    async with pool() as session:
        modern = Modern(session, hall.gateway.url(), hall.headers["ada"])
        legacy = Legacy(session, hall.gateway.url(), hall.headers["bob"])
        await legacy.open()
        said = [(where, how) for where in BODIES for how in SPELLINGS]
        said += [(where, how) for where in HEADS for how in ONE_LINE]
        for where, how in said:
            for client, secret in ((modern, SECRETS["ada"]), (legacy, SECRETS["bob"])):
                reply = await client.call("leak__say", {"how": how, "where": where}, id=next(numbers))
                assert reply.message, (where, how, reply)
                assert reply.ok is (where in HARMLESS), (where, how, reply)
                assert readable(reply.raw, secret) == [], (where, how, reply.raw)
    await nothing_is_kept(hall)


async def nothing_is_kept(hall: Hall) -> None:
    """In what the gateway logs, shows and stores, and in what the system shows of any process but itself."""
    shown: dict[str, bytes] = {"log": hall.gateway.output.encode()}
    async with pool() as session:
        for path in ("/metrics", "/readyz", "/healthz", "/console", "/api/tickets"):
            async with session.get(hall.gateway.url(path)) as response:
                shown[path] = await response.read()
    events = hall.place.rows("events")
    assert len(events) > 100
    shown["events"] = "\n".join(str(cell) for event in events for cell in event.values()).encode()
    shown["processes"] = json.dumps([*system(hall.gateway.process.pid)]).encode()
    for where, content in shown.items():
        assert readable(content, *SECRETS.values()) == [], where
    files = [file for file in (hall.folder / "var").rglob("*") if file.is_file()]
    assert [file for file in files for secret in SECRETS.values() if secret.encode() in file.read_bytes()] == []


def system(gateway: int) -> Iterator[list[str]]:
    """Command lines of all processes, and environments of all but the gateway's own, which it was given them in."""
    for process in psutil.process_iter():
        try:
            yield process.cmdline()
            if process.pid != gateway:
                yield [*process.environ().values()]
        except psutil.Error:
            continue
