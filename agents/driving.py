"""Commands that drive runs: new ones, and those that were left."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from agents.agent import patiently
from agents.given import UsageError, gateway_of, journal_of, plain, read_order, tokens_of
from agents.journal import Journal, Taken
from agents.model import SCRIPTED, Model, ModelUnavailable, open_model
from agents.progress import Progress, desk_summary, order_summary, run_summary
from agents.recipes import Recipe
from agents.replay import until_turn
from agents.run import LIMITED, UNFINISHED, Run
from agents.runs import Runs

DONE, FAILED, WAITING = 0, 1, 3
"""How a command that drives a run ends."""
GO_ON = "go on with it: python -m agents resume {run}"


async def order(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    given = read_order(arguments.file)
    return await _begin("order", plain(given["order_id"]), json.dumps(given), arguments, environ)


async def loop(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    return await _begin("loop", arguments.agent, arguments.task, arguments, environ)


async def desk(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    return await _begin("desk", "desk", arguments.task, arguments, environ)


async def _begin(pattern: str, name: str, task: str, arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    recipe = Recipe(
        pattern=pattern,
        agent=getattr(arguments, "agent", ""),
        model=arguments.model,
        gateway=gateway_of(arguments.gateway, environ),
        max_cost=arguments.max_cost,
        max_turns=arguments.max_turns,
        lease=arguments.lease,
    )
    run_id = arguments.run or f"{name}-{uuid.uuid4().hex[:8]}"
    async with opened(arguments, environ) as journal:
        return await drive(journal, recipe, run_id, task, arguments, environ)


async def resume(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Go on with one run, or with all that can be gone on with and that nobody drives."""
    async with opened(arguments, environ) as journal:
        runs = Runs(journal)
        if not arguments.all:
            run = await root(runs, arguments.run)
            if arguments.take_over:
                await journal.release(run.id)
            return await _go_on(journal, run, arguments, environ)
        driven = await journal.driven()
        found = [run for run in await roots(runs) if run.outcome in UNFINISHED and run.id not in driven]
        ends = []
        for run in found:
            try:
                ends.append(await _go_on(journal, run, arguments, environ))
            except (UsageError, ModelUnavailable, Taken) as error:  # the others can be gone on with all the same
                print(f"agents: {run.id}: {error}", file=sys.stderr)
                ends.append(FAILED)
        print(f"{len(found)} runs were gone on with; {ends.count(DONE)} are done, {ends.count(WAITING)} wait.")
        return max(ends, default=DONE)


async def _go_on(journal: Journal, run: Run, arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    recipe = recipe_of(run)
    changed = {"model": arguments.model, "max_cost": arguments.max_cost, "max_turns": arguments.max_turns}
    changed["gateway"] = gateway_of(arguments.gateway, {}) if arguments.gateway else None
    recipe = replace(recipe, **{name: value for name, value in changed.items() if value is not None})
    return await drive(journal, recipe, run.id, run.task, arguments, environ)


async def live(runs: Runs, run: Run, turn: int, arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """A new run that has the first turns of another one behind it, and goes on with a model and real tools."""
    recipe = replace(recipe_of(await root(runs, run.id.partition("/")[0])), part=run.agent if "/" in run.id else "")
    if arguments.model is not None:
        recipe = replace(recipe, model=arguments.model)
    copy = f"{run.id.replace('/', '-')}-live-{uuid.uuid4().hex[:8]}"
    for entry in until_turn(await runs.journal.read(run.id), turn - 1):
        more = {"recipe": recipe.json(), "closes": True} if entry.kind == "started" else {}
        await runs.journal.append(copy, entry.seq, entry.kind, {**entry.data, **more})
    return await drive(runs.journal, recipe, copy, run.task, arguments, environ)


async def drive(
    journal: Journal,
    recipe: Recipe,
    run_id: str,
    task: str,
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
) -> int:
    """Do a run until it ends, or waits for people for too long, and tell of it."""
    tokens = tokens_of(recipe.names(), arguments.tokens, environ)
    progress = Progress(sys.stderr if arguments.json else sys.stdout)
    async with open_model(recipe.model, environ) as model:
        _announce(model, progress)
        progress.say(f"Run {run_id}.")
        runner = recipe.runner(model, tokens, Runs(journal, progress, recipe.json()))
        try:
            run = await runner.run(task, run_id=run_id)
            run = await patiently(runner, run, arguments.wait)
        except asyncio.CancelledError:
            print(f"agents: interrupted; {GO_ON.format(run=run_id)}", file=sys.stderr)
            raise
    print(json.dumps(as_json(run), indent=2) if arguments.json else _summary(recipe, run))
    if run.outcome in UNFINISHED and not arguments.json:
        print(f"{run.outcome}; {GO_ON.format(run=run_id)}")
    elif run.outcome in LIMITED and not arguments.json:
        print(f"{run.outcome}; with a larger limit {GO_ON.format(run=run_id)}")
    return DONE if run.ok else WAITING if run.outcome == "waiting" else FAILED


def as_json(run: Run) -> dict[str, Any]:
    """What a run came to, and its parts."""
    keys = ("id", "agent", "model", "outcome", "detail", "text", "turns", "tokens", "cost", "notes")
    return {**{key: getattr(run, key) for key in keys}, "parts": [as_json(part) for part in run.parts]}


def recipe_of(run: Run) -> Recipe:
    """Raises UsageError."""
    try:
        return Recipe.of_json(run.recipe)
    except TypeError:
        raise UsageError(f"run {run.id} was not begun by this command, so it cannot be made again here") from None


async def roots(runs: Runs) -> list[Run]:
    """The runs that are nobody's part, with their parts, those that began first at first."""
    ids = [identity for identity in await runs.journal.runs() if "/" not in identity]
    return [await runs.whole(run) for identity in ids if (run := await runs.find(identity)) is not None]


async def root(runs: Runs, identity: str) -> Run:
    """Raises UsageError when there is no such run, or it is a part."""
    if "/" in identity:
        raise UsageError(f"{identity} is a part; give the whole run, {identity.partition('/')[0]}")
    return await found(runs, identity)


async def found(runs: Runs, identity: str) -> Run:
    """A run, or a part of one, with its parts. Raises UsageError."""
    run = await runs.find(identity)
    if run is None:
        raise UsageError(f"there is no run {identity} in this journal; `python -m agents list` shows those that are")
    return await runs.whole(run)


@asynccontextmanager
async def opened(arguments: argparse.Namespace, environ: Mapping[str, str]) -> AsyncIterator[Journal]:
    """The journal, until the block ends."""
    journal = Journal(journal_of(arguments.journal, environ))
    try:
        yield journal
    finally:
        await journal.close()


def _announce(model: Model, progress: Progress) -> None:
    if model.name.startswith(SCRIPTED):
        progress.say(f"The model is scripted ({model.name}): no real model is asked, no cost is known.")
    else:
        progress.say(f"The model is {model.name}.")


def _summary(recipe: Recipe, run: Run) -> str:
    if recipe.part or recipe.pattern == "loop":
        return f"{run.text or f'{run.outcome}: {run.detail}'}\n{run.agent}: {run_summary(run)}"
    return order_summary(run) if recipe.pattern == "order" else desk_summary(run)
