"""The conformance suite's scenarios about tasks, through the gateway: its fixture's tools are gated, and a reviewer
approves every ticket soon after it was opened.

Left out: `tasks-required-task-error`, for here no call needs a client with tasks, and `tasks-mrtr-composition`, which
wants a tool that makes a task by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from node_programs import CONFORMANCE, NODE, needs_node
from processes import finish

from gateway.approvals import Undecidable
from gateway.config import load
from gateway.state import State

pytestmark = needs_node

HERE = Path(__file__).parent
HEADERS = HERE.parent / "conformance/suite_headers.cjs"
TIMEOUT = 60.0
THINKS = 0.6
"""Seconds the reviewer thinks about each ticket: less than scenarios wait, more than it takes to cancel one."""
POLICY = """
agent = "conformance"
description = "Runs the conformance suite."
[[allow]]
tool = "fixture/greet"
[[allow]]
tool = "fixture/slow_compute"
gate = { type = "approval", when = { seconds = { exclusiveMinimum = 0 } } }
[[allow]]
tool = "fixture/*"
gate = { type = "approval" }
"""
SCENARIOS = {
    "tasks-capability-negotiation": 5,
    "tasks-mrtr-input": 4,
}
"""Checks that pass, so that a suite which makes less is noticed."""
LONG = {
    "tasks-lifecycle": 9,
    "tasks-dispatch-and-envelope": 9,
    "tasks-request-headers": 5,
    "tasks-request-state-removal": 3,
    "tasks-wire-fields": 4,
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    arguments = json.dumps([str(HERE / "waiting_fixture.py")])
    server = f'[servers.fixture]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\nera = "modern"\n'
    with GatewayProcess(tmp_path_factory.mktemp("conformance"), server, {"conformance.toml": POLICY}) as made:
        state, over = State(load(made.config, os.environ)), threading.Event()
        reviewer = threading.Thread(target=_review, args=(state, over))
        reviewer.start()
        yield made
        over.set()
        reviewer.join()
        state.close()


def _review(state: State, over: threading.Event) -> None:
    while not over.wait(0.1):
        for ticket in state.approvals.find(states=("pending",)):
            if time.time() - ticket.opened > THINKS:
                approve = partial(state.approvals.decide, ticket=ticket.id, reviewer="rita", verdict="approve")
                with contextlib.suppress(Undecidable):  # it was cancelled just now
                    state.store.run(approve)


@pytest.mark.parametrize("scenario", [*SCENARIOS, *(LONG if "TOOLGATE_LONG" in os.environ else ())])
def test_a_scenario_about_tasks_passes_every_check(scenario: str, gateway: GatewayProcess, tmp_path: Path) -> None:
    command = [NODE, "--require", str(HEADERS), *CONFORMANCE[1:], "server", "--url", gateway.url("/mcp/fixture")]
    command += ["--scenario", scenario, "--force", "--spec-version", "2026-07-28", "--output-dir", str(tmp_path)]
    environ = {**os.environ, "SUITE_HEADERS": json.dumps(gateway.headers("conformance"))}
    ran = finish(command, TIMEOUT, environ)
    checks = [check for file in tmp_path.glob("*/checks.json") for check in json.loads(file.read_text())]
    assert [check for check in checks if check["status"] != "SUCCESS"] == [], ran.stdout
    assert len(checks) == {**SCENARIOS, **LONG}[scenario]
