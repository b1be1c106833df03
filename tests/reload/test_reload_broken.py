"""Whatever happens to the policy folder, decisions are those of the last policy that was good."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from processes import free_port
from reload_variants import BROKEN, OTHER, READER, page, restore, variants
from sqlalchemy import select

from gateway.app import Gateway
from gateway.candidate import changes, signature
from gateway.config import load
from gateway.policy import Policy
from gateway.policy import load as load_policy
from gateway.tables import events

SEED = 20261125
VARIANTS = 300
THREADS = 5
BURST = 50
PAUSE = 0.003
"""Seconds between bursts of a thread: without them the policies would hardly get to be loaded."""
CONFIG = """\
[servers.shop]
url = "http://127.0.0.1:{port}/mcp"
era = "modern"
credentials.buyer.Authorization = "Bearer x"
"""


@dataclass
class Place:
    """A gateway whose policy folder is looked at when the test says so."""

    gateway: Gateway
    folder: Path

    async def look(self) -> None:
        """Look until what changed was read: it has to be the same at two looks."""
        await self.gateway.reload.look()
        await self.gateway.reload.look()

    def metric(self, name: str, **labels: str) -> float | None:
        return self.gateway.metrics.registry.get_sample_value(name, labels)


@asynccontextmanager
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    folder = tmp_path / "policies"
    folder.mkdir()
    restore(folder, 100)
    (tmp_path / "gateway.toml").write_text(CONFIG.format(port=free_port()))
    gateway = Gateway(load(tmp_path / "gateway.toml", {}))
    gateway.store.start()
    try:
        yield Place(gateway, folder)
    finally:
        gateway.tokens.close()
        gateway.pins.close()
        gateway.store.stop()


@dataclass
class Load:
    """Threads that decide in bursts, and check each decision against the bound its policy was written with."""

    gateway: Gateway
    bounds: dict[str, int]
    """By the digest of each policy that was good at some time."""
    decisions: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, seed: int) -> None:
        chance, count = random.Random(seed), 0
        while not self.over.wait(PAUSE):
            for _ in range(BURST):
                count += self.decide(chance.randrange(0, 1_000))
        self.decisions.append(count)

    def decide(self, amount: int) -> int:
        """Some decisions under the policy in force; how many."""
        policy = self.gateway.policy
        bound = self.bounds[policy.digest]
        expected = [
            ("buyer", "pay", {"amount": amount}, amount <= bound),
            ("buyer", "hidden", {}, False),
            ("other", "look", {}, True),
            ("other", "pay", {"amount": amount}, False),
        ]
        for agent, tool, arguments, allowed in expected:
            if policy.decide(agent, "shop", tool, "call", arguments).allowed is not allowed:
                self.wrong.append(f"{agent} {tool} {arguments}, at most {bound}")
        return len(expected)


@contextmanager
def under(load: Load) -> Iterator[None]:
    threads = [threading.Thread(target=load.run, args=(seed,)) for seed in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)  # or the threads that load policies would wait for these most of the time
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        load.over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)


@pytest.mark.timeout(300)
async def test_three_hundred_broken_folders_change_no_decision(tmp_path: Path) -> None:
    chance, bound = random.Random(SEED), 100
    async with place(tmp_path) as here:
        good = here.gateway.policy
        load = Load(here.gateway, {good.digest: bound})
        with under(load):
            for number, (name, ruin) in enumerate(variants(VARIANTS, SEED)):
                ruin(here.folder, chance)
                await here.look()
                assert here.gateway.policy is good, name
                assert here.metric("toolgate_config_reload_ok") == 0, name
                bound += number % 3 == 0
                restore(here.folder, bound)
                load.bounds[load_policy(here.folder, ["shop"]).digest] = bound
                await here.look()
                good = here.gateway.policy
                assert load.bounds[good.digest] == bound, f"what is good again after {name!r} is not in force"
                assert here.metric("toolgate_config_reload_ok") == 1, name
    assert load.wrong == []
    assert len(load.decisions) == THREADS, "a thread met a policy that was never good"
    assert here.metric("toolgate_config_reloads_total", result="failed") == VARIANTS
    print(f"\n{sum(load.decisions)} decisions beside {VARIANTS} broken folders")


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_broken_is_told_once_and_with_a_fix(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with place(tmp_path) as here:
        BROKEN[name](here.folder, random.Random(SEED))
        for _ in range(3):
            await here.look()
        await here.gateway.reload.look(asked=True)
    told = [record.getMessage() for record in caplog.records if record.name == "toolgate.reload"]
    assert len(told) == len(set(told)) >= 2
    assert told[-1] == "the last good policy stays in force; see toolgate check"
    assert all("Fix: " in line for line in told[:-1])


async def test_a_folder_is_read_when_it_was_the_same_at_two_looks(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = here.gateway.policy
        for bound in (200, 300, 400):
            (here.folder / "buyer.toml").write_text(page(bound))
            await here.gateway.reload.look()
            assert here.gateway.policy is before
        await here.gateway.reload.look()
        assert here.gateway.policy.decide("buyer", "shop", "pay", "call", {"amount": 400}).allowed


async def test_who_asks_need_not_wait_for_a_second_look(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        (here.folder / "buyer.toml").write_text(page(400))
        await here.gateway.reload.look(asked=True)
        assert here.gateway.policy.decide("buyer", "shop", "pay", "call", {"amount": 400}).allowed
        await here.gateway.reload.look(asked=True)
        assert here.metric("toolgate_config_reloads_total", result="unchanged") == 1


async def test_files_that_change_while_they_are_read_make_no_policy(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before, build = here.gateway.policy, here.gateway.reload._build

        def build_while_somebody_writes() -> Policy:
            made = build()
            (here.folder / "other.toml").write_text(OTHER + '[[allow]]\ntool = "shop/pay"\n')
            return made

        here.gateway.reload._build = build_while_somebody_writes
        (here.folder / "buyer.toml").write_text(page(400))
        await here.look()
        assert here.gateway.policy is before, "a policy of two versions is in force"
        here.gateway.reload._build = build
        await here.look()
        assert here.gateway.policy.decide("other", "shop", "pay", "call", {}).allowed


async def test_an_edit_that_changes_no_rule_swaps_nothing(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = here.gateway.policy
        (here.folder / "buyer.toml").write_text("# a remark\n" + page(100))
        await here.look()
        assert here.gateway.policy is before
        assert here.metric("toolgate_config_reloads_total", result="unchanged") == 1


async def test_permissions_links_and_nested_files_count_as_changes_and_hidden_files_do_not(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        folder = here.folder
        seen = [signature(folder)]
        (folder / ".buyer.toml.swp").write_text("x")
        assert signature(folder) == seen[0]
        target = tmp_path / "version-1"
        for change in (
            lambda: (folder / "buyer.toml").chmod(0o600),
            lambda: (folder / "roles/reader.toml").write_text(READER.replace("look", "lock")),
            lambda: target.write_text("1"),
            lambda: (folder / "linked.toml").symlink_to(target),
            lambda: target.write_text("22"),
        ):
            change()
            seen.append(signature(folder))
        assert len(set(seen)) == len(seen) - 1, "a file beside the folder counts once something links to it, not before"


async def test_nothing_is_in_force_that_is_not_on_record(tmp_path: Path) -> None:
    async with place(tmp_path) as here:
        before = here.gateway.policy
        lock = sqlite3.connect(here.gateway.store.path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        (here.folder / "buyer.toml").write_text(page(400))
        await here.look()
        assert here.gateway.policy is before
        assert here.metric("toolgate_config_reload_ok") == 0
        lock.rollback()
        lock.close()
        await eventually(here.gateway.reload.look, lambda: here.gateway.policy is not before)
        rows = here.gateway.store.read(select(events.c.data).where(events.c.kind == "policy"))
        assert json.loads(rows[-1].data) == {"digest": here.gateway.policy.digest, "previous": before.digest}
        assert here.metric("toolgate_config_reload_ok") == 1


async def eventually(act: Callable[[], Awaitable[None]], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await act()


def test_only_the_agents_whose_rules_differ_are_concerned_and_only_by_their_kinds(tmp_path: Path) -> None:
    restore(_made(tmp_path / "policies"), 100)
    before = load_policy(tmp_path / "policies", ["shop"])
    resource = '[[allow]]\nresource = "shop/file:///x"\n'
    (tmp_path / "policies/other.toml").write_text(OTHER + resource)
    (tmp_path / "policies/third.toml").write_text(page(1).replace("buyer", "third"))
    after = load_policy(tmp_path / "policies", ["shop"])
    assert changes(before, after) == {"other": {"resources"}, "third": {"tools"}}
    assert changes(after, before) == changes(before, after)
    assert changes(before, before) == {}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
