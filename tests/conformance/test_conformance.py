"""The conformance suite, run against the fixture directly and through the gateway."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from node_programs import needs_node
from processes import free_port, listening, running
from run import Check, run

pytestmark = needs_node

FIXTURE = Path(__file__).parent / "fixture.py"
REVISIONS = {"2026-07-28": 152, "2025-11-25": 84}
"""Revision -> checks the fixture passes directly, so that a suite which runs less is noticed."""
POLICY = """\
agent = "conformance"
description = "Runs the conformance suite against the fixture."
[[allow]]
tool = "*/*"
[[allow]]
resource = "*/*"
[[allow]]
prompt = "*/*"
"""
Direct = Callable[[str], dict[str, Check]]


@pytest.fixture(scope="module")
def fixture_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = (sys.executable, str(FIXTURE), "--port", str(port))
    with running(command, lambda: listening(port), tmp_path_factory.mktemp("fixture") / "log"):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(scope="module")
def gateway(fixture_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    servers = "".join(f'[servers.{era}]\nurl = "{fixture_url}"\nera = "{era}"\n' for era in ("modern", "legacy"))
    folder = tmp_path_factory.mktemp("gateway")
    with GatewayProcess(folder, servers, {"conformance.toml": POLICY}) as running_gateway:
        yield running_gateway


@pytest.fixture(scope="module")
def direct(fixture_url: str, tmp_path_factory: pytest.TempPathFactory) -> Direct:
    """What the suite finds at the fixture itself, run once per revision."""

    @cache
    def found(revision: str) -> dict[str, Check]:
        return run(fixture_url, revision, tmp_path_factory.mktemp("direct"))

    return found


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_fixture_itself_passes_every_check(revision: str, direct: Direct) -> None:
    checks = direct(revision)
    assert displeased(checks) == {}
    assert len(passed(checks)) == REVISIONS[revision]


@pytest.mark.parametrize(("revision", "upstream"), [("2026-07-28", "modern"), ("2025-11-25", "legacy")])
def test_every_check_that_passes_directly_passes_through_the_gateway(
    revision: str, upstream: str, direct: Direct, gateway: GatewayProcess, tmp_path: Path
) -> None:
    through = run(gateway.url(f"/mcp/{upstream}"), revision, tmp_path, gateway.headers("conformance"))
    assert displeased(through) == {}
    assert passed(direct(revision)) - passed(through) == set()


def test_a_legacy_client_of_a_modern_upstream_fails_no_check(gateway: GatewayProcess, tmp_path: Path) -> None:
    """Only an upstream that closes a stream early can show that it is resumed, and a modern one has no such stream."""
    through = run(gateway.url("/mcp/modern"), "2025-11-25", tmp_path, gateway.headers("conformance"))
    assert displeased(through) == {}


def passed(checks: dict[str, Check]) -> set[str]:
    return {key for key, check in checks.items() if check.status == "SUCCESS"}


def displeased(checks: dict[str, Check]) -> dict[str, Check]:
    """Failures, warnings and skipped checks: everything but success and mere information."""
    return {key: check for key, check in checks.items() if check.status not in ("SUCCESS", "INFO")}
