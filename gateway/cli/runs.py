"""`toolgate runs list | show | rollback | unknown | settle`: what agents' runs stand at, and what people do about them.

Works on the state folder, without the servers' secrets; a running gateway notices within a second.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from gateway.cli.files import open_state
from gateway.cli.output import no, one_line, show_json, table
from gateway.cli.who import reviewer
from gateway.config import Config, load_without_servers
from gateway.ledger import Finding, Unknown
from gateway.policy.explain import compact
from gateway.runs import Run
from gateway.state import State
from gateway.story import Story, agents_of, story_json, tell
from gateway.telling import digested, heading, lines, summary
from gateway.times import moment

_STANDING = {"done": "can be undone", "undone": "undone", "stuck": "wait for people", "settled": "settled by hand"}

_CUT = 160


def run(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    deeds = {"list": _list, "show": _show, "rollback": _rollback, "unknown": _unknown, "settle": _settle}
    with open_state(config) as state:
        return deeds[arguments.deed](arguments, config, state)


def _list(arguments: argparse.Namespace, config: Config, state: State) -> int:
    found = state.runs.find(state=arguments.state)
    if arguments.json:
        show_json([_shape(run) for run in found])
        return 0
    if not found:
        print("No run is known here: calls with a run leave one where something can be undone, or is bounded.")
        return 0
    rows = [
        [
            run.run,
            run.agent,
            run.state,
            run.why or "-",
            str(run.calls),
            "-" if run.lease is None else f"{run.lease:g} s",
            moment(run.touched) or "",
            _standing(run),
        ]
        for run in found
    ]
    print(table(["RUN", "AGENT", "STATE", "WHY", "CALLS", "LEASE", "TOUCHED", "STEPS"], rows))
    return 0


def _show(arguments: argparse.Namespace, config: Config, state: State) -> int:
    name, agent = arguments.run, arguments.agent
    if agent is None:
        agents = agents_of(state.store, name)
        if len(agents) > 1:
            return no(arguments, f"several agents have a run {name!r}: {', '.join(agents)}", "say which with --agent")
        agent = next(iter(agents), None)
    story = None if agent is None else tell(state.store, agent, name)
    if story is None:
        return no(arguments, f"the log has no run {name!r}", "give the id that the agent sent, whole")
    if arguments.json:
        show_json(story_json(story))
    else:
        print("\n".join(_told_lines(story)))
    return 0


def _told_lines(story: Story) -> Iterator[str]:
    tokens = f" (token {', '.join(story.tokens)})" if story.tokens else ""
    yield one_line(f"Run {story.run} of agent {story.agent}{tokens}, from {moment(story.began)}")
    yield one_line(summary(story))
    for entry in story.entries:
        target = f" {entry.server}/{entry.tool}" if entry.tool else ""
        call = f"  [{entry.call}]" if entry.call else ""
        yield ""
        yield one_line(f"+{entry.at - story.began:.3f} s  {story.agent}: {heading(entry)}{target}{call}")
        if entry.arguments:
            yield one_line(f"    {digested(entry) or compact(dict(entry.arguments), _CUT)}")
        yield from (one_line(f'    "{text}"' if tone == "quote" else f"    {text}") for tone, text in lines(entry))


def _rollback(arguments: argparse.Namespace, config: Config, state: State) -> int:
    name = arguments.run
    found = state.runs.find(run=name, agent=arguments.agent)
    if not found:
        return no(arguments, f"no run {name!r} is known", "see toolgate runs list")
    if len(found) > 1:
        agents = ", ".join(sorted(run.agent for run in found))
        return no(arguments, f"several agents have a run {name!r}: {agents}", "say which with --agent")
    (run,) = found
    work = partial(state.runs.mark, agent=run.agent, run=name, state="failed", why="operator")
    if not state.store.run(work):
        return no(arguments, f"run {name!r} of {run.agent} is {run.state}", "only an active run can be undone")
    steps = run.steps.get("done", 0)
    print(f"Run {name} of {run.agent} has failed: a running gateway undoes its {steps} steps, the latest first.")
    return 0


def _unknown(arguments: argparse.Namespace, config: Config, state: State) -> int:
    found = state.ledger.unknown()
    if arguments.json:
        show_json([_told(call) for call in found])
        return 0
    if not found:
        print("Of every call it is known what became of it.")
        return 0
    rows = [
        [each.call, each.agent, f"{each.server}/{each.tool}", each.run or "-", moment(each.at) or "", each.shown]
        for each in found
    ]
    print(table(["CALL", "AGENT", "TOOL", "RUN", "AT", "ARGUMENTS"], rows))
    print("\nFind out whether each took effect, then: toolgate runs settle CALL happened|did-not --words WORDS")
    return 0


def _settle(arguments: argparse.Namespace, config: Config, state: State) -> int:
    who = reviewer(arguments, state.reviewers, config)
    verdict: Finding = "happened" if arguments.verdict == "happened" else "did_not"
    call = arguments.call
    work = partial(state.ledger.settle, call=call, reviewer=who.name, verdict=verdict, words=arguments.words)
    if not state.store.run(work):
        return no(arguments, f"no call {call!r} is to be settled", "see toolgate runs unknown")
    print(f"Call {call} is settled by {who.name}: it {'happened' if verdict == 'happened' else 'did not happen'}.")
    return 0


def _standing(run: Run) -> str:
    """`sent` steps are calls under way, or of unknown outcome, which have a list of their own."""
    told = [f"{run.steps[state]} {words}" for state, words in _STANDING.items() if run.steps.get(state)]
    if run.steps.get("sent"):
        told.append(f"{run.steps['sent']} under way or unknown")
    return ", ".join(told) or "-"


def _shape(run: Run) -> dict[str, Any]:
    return {
        "run": run.run,
        "agent": run.agent,
        "state": run.state,
        "why": run.why,
        "calls": run.calls,
        "lease": run.lease,
        "opened": moment(run.opened),
        "touched": moment(run.touched),
        "steps": run.steps,
    }


def _told(call: Unknown) -> dict[str, Any]:
    return {
        "call": call.call,
        "agent": call.agent,
        "server": call.server,
        "tool": call.tool,
        "run": call.run,
        "key": call.key,
        "at": moment(call.at),
        "arguments": json.loads(call.shown),
        "held": [{"account": account, "amount": amount} for account, amount in call.held],
    }
