"""Commands that look at runs: which there are, what happened in one, whether it replays, how all are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from agents import driving, page, replay, shown, stats
from agents.given import UsageError
from agents.journal import Journal
from agents.progress import money
from agents.run import Run
from agents.runs import Runs

INTERRUPTED = "interrupted"
"""How a run stands that is under way, but in no process."""


async def list_runs(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    async with driving.opened(arguments, environ) as journal:
        rows = [("RUN", "WHAT", "STATE", "BEGAN", "TURNS", "COST", "DETAIL")]
        runs = await driving.roots(Runs(journal))
        if arguments.json:
            print(json.dumps([{**driving.as_json(run), "state": await _state(journal, run)} for run in runs], indent=2))
            return 0
        for run in runs:
            began = datetime.fromtimestamp(run.began, UTC).strftime("%Y-%m-%d %H:%M:%S")
            detail = " ".join(run.detail.split())[:60]
            state = await _state(journal, run)
            rows.append((run.id, run.agent, state, began, str(run.turns), money(run.cost), detail))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows))
    return 0


async def show(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    async with driving.opened(arguments, environ) as journal:
        run = await driving.found(Runs(journal), arguments.run)
        state = await _state(journal, run)
        if arguments.html is None:
            print(shown.text(run, await shown.timeline(journal, run), state=state))
            return 0
        arguments.html.write_text(await page.page(journal, run, state=state), encoding="utf-8")
        print(f"Run {run.id} is shown in {arguments.html}.")
    return 0


async def replay_run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """0 when everything is as it was, 1 when it is not."""
    async with driving.opened(arguments, environ) as journal:
        runs = Runs(journal)
        run = await driving.found(runs, arguments.run)
        conversations = run.agents
        if (arguments.until or arguments.live_from) and run.parts:
            parts = ", ".join(each.id for each in conversations)
            raise UsageError(f"{run.id} is several conversations; name one of them: {parts}")
        if arguments.live_from:
            return await driving.live(runs, run, arguments.live_from, arguments, environ)
        differ = 0
        for each in conversations:
            entries = await journal.read(each.id)
            if arguments.until:
                entries = replay.until_turn(entries, arguments.until)
            verdict = await replay.replay(entries)
            differ += bool(verdict.problem)
            state = verdict.problem or "equal"
            print(f"{each.id}: {verdict.equal} of {verdict.entries} entries, {verdict.run.turns} turns: {state}")
            if arguments.until:
                print(json.dumps(verdict.run.messages, indent=2))
        print(f"{len(conversations) - differ} of {len(conversations)} conversations are as they were.")
    return 1 if differ else 0


async def show_stats(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    async with driving.opened(arguments, environ) as journal:
        found = await stats.collect(Runs(journal))
    if arguments.prometheus is not None:
        arguments.prometheus.write_text(stats.prometheus(found), encoding="utf-8")
    if arguments.push is not None:
        try:
            stats.push(arguments.push, stats.prometheus(found))
        except (OSError, ValueError) as error:
            raise UsageError(f"the metrics could not be pushed to {arguments.push}: {error}") from None
    if arguments.prometheus is None and arguments.push is None:
        print(stats.table(found))
    return 0


async def _state(journal: Journal, run: Run) -> str:
    if run.outcome == "running" and run.id.partition("/")[0] not in await journal.driven():
        return INTERRUPTED
    return run.outcome
