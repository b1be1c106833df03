"""The policies of bench/agentdojo are documentation too: they load, and decide what their tests say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.policy import load, trials

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "bench" / "agentdojo" / "policies"
FOLDERS = sorted(path.parent for path in POLICIES.rglob("assistant.toml"))


def test_each_suite_has_each_policy() -> None:
    kinds = {str(folder.relative_to(POLICIES)) for folder in FOLDERS}
    policies = ("none", "read-only", "approve-writes", "ours")
    assert kinds == {f"{policy}/{suite}" for policy in policies for suite in ("workspace", "banking")}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_policy_decides_what_its_tests_say_and_each_rule_is_tested(folder: Path, tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(folder, policies)
    shutil.copy(ROOT / "policies" / "model.conf", policies)
    policy = load(policies, [folder.name])
    assert policy.warnings == ()
    results = trials.trials(policy, trials.read(policy, policies, [folder.name]))
    assert results.tried
    assert (results.failed, results.unhit, results.untested) == ((), (), ())
