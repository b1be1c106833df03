"""Servers that are processes: what they see, how they end, and that none is left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from upstream_parts import Spec, call, until

from gateway.call import Credential, Silent
from gateway.errors import Garbled, Interrupted, Unreachable
from gateway.upstream import Upstream

HERE = Path(__file__).parent
CHILD = str(HERE / "upstream_child.py")


LOOPS = [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
on_both_loops = pytest.mark.parametrize("anyio_backend", LOOPS, ids=["asyncio", "uvloop"])


def child(*args: str, **more: Any) -> Spec:
    return Spec(command=sys.executable, args=(CHILD, *args), **{"era": "legacy", **more})


async def said(upstream: Upstream, name: str, credential: Credential | None = None) -> Any:
    return (await upstream.request("tools/call", call(name), peer=Silent(), credential=credential))["said"]


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    others = set(psutil.Process().children(recursive=True))
    yield
    await until(lambda: others.issuperset(psutil.Process().children(recursive=True)))


@on_both_loops
async def test_a_process_sees_the_allow_list_its_own_environment_and_its_credential(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENT_KEY", "gateway-secret")
    upstream, _ = await connect(child(env={"MODE": "test", "SECRET": "own"}))
    allowed = {"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER", "LC_CTYPE"}
    seen = await said(upstream, "env")
    assert set(seen) <= allowed | {"MODE", "SECRET"} and seen["SECRET"] == "own"

    agents = [Credential(f"agent-{number}", {"SECRET": f"secret-{number}"}) for number in range(3)]
    wanted = [agents[number % 3] for number in range(12)]
    envs = await asyncio.gather(*(said(upstream, "env", agent) for agent in wanted))
    assert [env["SECRET"] for env in envs] == [agent.values["SECRET"] for agent in wanted]
    pids = await asyncio.gather(*(said(upstream, "pid", agent) for agent in wanted))
    assert len(set(pids)) == 3 and await said(upstream, "pid") not in pids


async def test_era_is_found_out_by_asking(connect: Any) -> None:
    upstream, _ = await connect(child(era="auto"))
    assert upstream.up and upstream.era == "legacy"


@on_both_loops
async def test_a_process_that_ends_interrupts_its_calls_is_restarted_and_tells_no_secret(
    connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "toolgate")
    upstream, seen = await connect(child(env={"SECRET": "hush-hush"}))
    before = await said(upstream, "pid")
    with pytest.raises(Interrupted):
        await said(upstream, "crash")
    await until(lambda: not upstream.up, 1)
    with pytest.raises(Unreachable):
        await said(upstream, "pid")
    began = time.monotonic()
    await until(lambda: upstream.up, 2.5)
    assert await said(upstream, "pid") != before and upstream.restarts == 1
    assert "crashing with ***" in caplog.text and "hush-hush" not in caplog.text
    assert [up for up, _ in seen.listings] == [True, False, True]
    print(f"back after {time.monotonic() - began:.2f} s")


async def test_a_credentials_process_that_ends_is_started_again_by_the_next_call(connect: Any) -> None:
    upstream, _ = await connect(child())
    agent = Credential("agent", {"SECRET": "s"})
    own = await said(upstream, "pid")
    with pytest.raises(Interrupted):
        await said(upstream, "crash", agent)
    assert await said(upstream, "pid", agent) != own
    assert upstream.up and upstream.restarts == 0 and await said(upstream, "pid") == own


@on_both_loops
async def test_noise_is_ignored_and_a_line_without_end_fails_its_call_only(connect: Any) -> None:
    upstream, _ = await connect(child())
    assert await said(upstream, "noise") == "noise"
    assert upstream._link.garbage == 5
    with pytest.raises(Garbled):
        await said(upstream, "huge")
    assert await said(upstream, "well") == "well"


async def test_a_command_that_does_not_exist_is_down_and_harmless(connect: Any) -> None:
    upstream, _ = await connect(Spec(command="/nonexistent/server"))
    assert not upstream.up
    with pytest.raises(Unreachable):
        await said(upstream, "pid")


async def test_a_stubborn_process_and_its_children_are_gone_soon_after_the_end() -> None:
    upstream = Upstream(child("stubborn"), on_listing=lambda _: None, on_notice=lambda *_: None)
    running = asyncio.create_task(upstream.run())
    await upstream.ready.wait()
    family = await said(upstream, "family")
    began = time.monotonic()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert time.monotonic() - began < 5
    await until(lambda: not any(alive(pid) for pid in family))


async def test_no_process_is_left_when_the_gateway_is_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "upstream_parent.py"), CHILD, stdout=subprocess.PIPE, env=environment
    )
    try:
        assert parent.stdout is not None
        family = [int(pid) for pid in (await parent.stdout.readline()).split()]
        family += [process.pid for process in psutil.Process(parent.pid).children(recursive=True)]
        assert len(set(family)) == 3 and all(alive(pid) for pid in family)
    finally:
        parent.kill()
        await parent.wait()
    await until(lambda: not any(alive(pid) for pid in family))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
