"""`toolgate policy replay`: what a candidate policy would have decided otherwise, of the calls that were made."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gateway import policy
from gateway.cli.files import usable_state
from gateway.cli.output import one_line, show_json, table
from gateway.cli.policy.opened import near, opened
from gateway.config import load_without_servers
from gateway.policy.explain import compact
from gateway.policy.replay import APART, CHANGES, KINDS, Change, Changed, Recorded, Replayed, claims_of, replay
from gateway.state import open_store
from gateway.times import exactly
from gateway.trail import Wanted, oldest

_HEADS: dict[Change, str] = {
    "refused": "newly refused",
    "allowed": "newly allowed",
    "gated": "newly gated",
    "ungated": "no longer gated",
}
_CUT = 100


def run(arguments: argparse.Namespace) -> int:
    """1 when a change that `--fail-on` names is the candidate's doing, not that of a policy in force since."""
    at = opened(arguments.config)
    config = load_without_servers(arguments.config, os.environ)
    candidate = policy.load(near(arguments.candidate), at.servers)
    since = None if arguments.since is None else time.time() - arguments.since.total_seconds()
    with usable_state(config):
        store = open_store(config)
        try:
            events = oldest(store, Wanted(kinds=KINDS, agent=arguments.agent, since=since))
            found = replay(events, candidate, at.policy, claims_of(store))
        finally:
            store.stop()
    if arguments.json:
        show_json(_shape(found))
    else:
        print("\n\n".join(_report(found)))
    return 1 if any(found.count(change, already=False) for change in arguments.fail_on) else 0


def _report(found: Replayed) -> Iterator[str]:
    for change, head in _HEADS.items():
        if groups := _sorted(found, change):
            yield f"{head}: {_calls(found.count(change))}\n\n" + "\n\n".join(map(_group, groups))
    if not found.changes:
        yield f"Nothing would have been decided otherwise: {_calls(found.calls)} replayed."
    else:
        told = ", ".join(f"{found.count(change)} {head}" for change, head in _HEADS.items() if found.count(change))
        yield f"{_calls(found.calls)} replayed: {told}."
    if found.drifted:
        yield f"The policy in force decides {_calls(found.drifted)} otherwise than when they were made."
    if found.apart:
        yield "Not replayed:\n" + "\n".join(f"  {count}: {APART[why]}" for why, count in found.apart.most_common())
    if found.others:
        told = ", ".join(f"{count} {reason}" for reason, count in found.others.most_common())
        yield f"Refused for reasons that no policy decides: {told}."


def _group(group: Changed) -> str:
    already = f" ({group.already} of them in the policy in force too)" if group.already else ""
    lines = [
        f"  {_calls(group.calls)}: {_decided(group.before)} -> {_decided(group.after)}{already}",
        f"    agents: {_most(group.agents)}; tools: {_most(group.tools)}",
    ]
    rows = [(each.event.call, each.event.agent, each.target, _given(each)) for each in group.examples]
    return "\n".join(
        [*lines, *(f"    {line}" for line in table(("CALL", "AGENT", "TOOL", "ARGUMENTS"), rows).split("\n"))]
    )


def _decided(decided: Any) -> str:
    return f"{decided.outcome} by {decided.rule}" if ":" in decided.rule else f"{decided.outcome} ({decided.rule})"


def _given(recorded: Recorded) -> str:
    return one_line("(by digest only)" if recorded.arguments is None else compact(dict(recorded.arguments), _CUT))


def _most(counts: Counter[str]) -> str:
    shown = ", ".join(f"{one_line(name)} {count}" for name, count in counts.most_common(4))
    return shown + (f", and {len(counts) - 4} more" if len(counts) > 4 else "")


def _calls(count: int) -> str:
    return f"{count:,} {'call' if count == 1 else 'calls'}"


def _sorted(found: Replayed, change: str) -> list[Changed]:
    """The most frequent first."""
    return sorted((each for each in found.changes.values() if each.change == change), key=lambda each: -each.calls)


def _shape(found: Replayed) -> dict[str, Any]:
    kinds = dict.fromkeys(CHANGES.values())
    return {
        "replayed": found.calls,
        "drifted": found.drifted,
        "counts": {change: found.count(change) for change in kinds},
        "not_replayed": dict(found.apart),
        "refused_otherwise": dict(found.others),
        "changes": [_told(group) for change in kinds for group in _sorted(found, change)],
    }


def _told(group: Changed) -> dict[str, Any]:
    return {
        "change": group.change,
        "calls": group.calls,
        "already": group.already,
        "from": {"decision": group.before.outcome, "rule": group.before.rule},
        "to": {"decision": group.after.outcome, "rule": group.after.rule},
        "agents": dict(group.agents.most_common()),
        "tools": dict(group.tools.most_common()),
        "examples": [
            {
                "call": each.event.call,
                "at": exactly(each.event.at),
                "agent": each.event.agent,
                "run": each.event.run,
                "action": each.action,
                "server": each.event.server,
                "tool": each.event.tool,
                "arguments": None if each.arguments is None else dict(each.arguments),
            }
            for each in group.examples
        ],
    }
