"""A disk that is full, read-only, broken or silent under a running gateway: nothing runs, and service resumes.

The disk is made to fail beneath SQLite, by a library that is loaded into the gateway (`failing_disk.c`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from fault_parts import POLICIES, events, http
from gateway_process import CLI, GatewayProcess
from processes import finish
from raw_client import Modern, eventually, pool
from recorder import Nursery, shops

TOLD_WITHIN = 2.0
"""Seconds after which a caller knows that nothing can be written."""
_BLOCKED = 60.0 if os.environ.get("TOOLGATE_LONG") else 4.0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler is installed, so no disk can be made to fail")
    built = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.mark.parametrize("how", ["ENOSPC", "EROFS", "EIO", "hang"])
async def test_while_the_disk_fails_nothing_runs_and_service_resumes(
    nursery: Nursery, tmp_path: Path, library: Path, how: str
) -> None:
    control = tmp_path / "disk"
    environ = {"LD_PRELOAD": str(library), "FAILING_DISK": str(control)}
    with shops(nursery, tmp_path, "shop") as (shop,):
        with GatewayProcess(tmp_path, http([shop]), POLICIES, environ=environ) as gateway:
            async with pool() as session:
                agent = Modern(session, gateway.url(), gateway.headers("worker"))
                assert (await agent.call("shop__note", {"text": "before"})).ok
                control.write_text(how)
                ends = time.monotonic() + (_BLOCKED if how == "hang" else 1.0)
                while time.monotonic() < ends:
                    refused = await agent.call("shop__note", {"text": "never"})
                    assert (refused.status, refused.reason) == (503, "unrecorded")
                    assert refused.seconds < TOLD_WITHIN
                    async with session.get(gateway.url("/healthz")) as health:
                        assert health.status == 503
                    await asyncio.sleep(0.2)
                control.unlink()

                async def served() -> bool:
                    async with session.get(gateway.url("/healthz")) as health:
                        return health.status == 200

                resumed = await eventually(served, 5)
                assert (await agent.call("shop__note", {"text": "after"})).ok
                print(f"\n{how}: resumed {resumed:.2f} s later without being asked")
            assert [line["text"] for line in shop.executions()] == ["before", "after"]
        assert events(tmp_path, "gap")
        verified = finish((*CLI, "audit", "verify", "--config", str(gateway.config)), 60)
        assert verified.returncode == 0, verified.stdout
