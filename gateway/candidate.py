"""A policy that is to come into force: loaded whole, checked as far as it can be, compared with the one before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.call import OWN
from gateway.config import Config, check_agents
from gateway.errors import ConfigError
from gateway.own import SCHEMAS
from gateway.policy import Policy, Rule, check_names, load, trials
from gateway.policy.names import Offered

_KINDS = {"call": "tools", "read": "resources", "get": "prompts"}
"""The kind of list that a rule about an action changes."""

Signature = tuple[tuple[str | int, ...], ...]
"""What a folder looks like from outside: equal as long as nothing in it was touched."""


def signature(folder: Path) -> Signature:
    """Name, size, inode and times of each file the policy may be read from; a symlink stands for its target."""
    return tuple(entry for place in (folder, folder / "roles") for entry in _entries(place))


def _entries(folder: Path) -> list[tuple[str | int, ...]]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        return [(str(folder), error.errno or 0)]
    return [_entry(path) for path in paths]


def _entry(path: Path) -> tuple[str | int, ...]:
    try:
        seen = path.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks
        return (str(path), type(error).__name__)
    if path.is_dir():  # its times tell of temporary files too
        return (str(path), "folder")
    return (str(path), seen.st_size, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns)


def build(config: Config, offered: Offered) -> Policy:
    """The policy in the configured folder. `offered`: see `gateway.policy.names`; empty when nobody knows yet.

    Raises ConfigError with every problem found.
    """
    policy = load(config.policies_dir, config.servers)
    problems = [*check_agents(config, policy.agents), *check_names(policy, {**offered, OWN: SCHEMAS})]
    problems += trials.run(policy, config.policies_dir, config.servers)
    if problems:
        raise ConfigError(sorted(problems))
    return policy


def changes(before: Policy, after: Policy) -> dict[str, frozenset[str]]:
    """The kinds of lists that may look different to each agent: `tools`, `resources`, `prompts`."""
    agents = before.agents | after.agents
    found = {agent: _changes(before.rules(agent), after.rules(agent)) for agent in agents}
    return {agent: kinds for agent, kinds in found.items() if kinds}


def _changes(before: list[Rule], after: list[Rule]) -> frozenset[str]:
    if before == after:
        return frozenset()
    old, new = ([replace(rule, id="") for rule in rules] for rules in (before, after))
    differ = {action for action in _KINDS if _of(old, action) != _of(new, action)}
    return frozenset(_KINDS[action] for action in differ)


def _of(rules: list[Rule], action: str) -> list[Rule]:
    return [rule for rule in rules if rule.action == action]
