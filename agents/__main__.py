"""`python -m agents`: run agents, go on with runs that were left, and look at what they did."""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from agents import driving, looking
from agents.given import DEFAULT_GATEWAY, DEFAULT_JOURNAL, UsageError, identity, lease, seconds
from agents.journal import Taken
from agents.model import DEFAULT_MODEL, ModelUnavailable
from agents.run import Limits
from agents.tools import reason

PATIENCE = 3600.0
"""Seconds that people have to decide before a command gives up waiting; the run can be gone on with later."""
Command = Callable[[argparse.Namespace, Mapping[str, str]], Coroutine[Any, Any, int]]


def main(argv: list[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the command; 0 when the run completed, 1 when it failed, 2 when the command is wrong, 3 when it waits."""
    arguments = parser().parse_args(argv)
    try:
        return int(asyncio.run(arguments.command(arguments, environ)))
    except (UsageError, ModelUnavailable) as error:
        print(f"agents: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not isinstance(_first(error), Taken | ValueError | sqlite3.Error) and not _of_psycopg(_first(error)):
            raise
        print(f"agents: {reason(error)}", file=sys.stderr)
        return 1


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _of_psycopg(error: BaseException) -> bool:
    """It is there only where a journal needs it; where it is missing is an error of the command."""
    return type(error).__module__.startswith("psycopg") or getattr(error, "name", None) == "psycopg"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    commands = made.add_subparsers(required=True, metavar="order|loop|desk|resume|list|show|replay|stats")

    def command(name: str, run: Command, told: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=told, description=told)
        added.add_argument(
            "--journal", metavar="PATH|URL", help=f"where runs are kept: TOOLGATE_JOURNAL, else {DEFAULT_JOURNAL}"
        )
        added.set_defaults(command=run)
        return added

    order = command("order", driving.order, "run an order through the five specialists")
    order.add_argument("--file", required=True, type=Path, help="the order, a JSON file")
    loop = command("loop", driving.loop, "run one agent on one task")
    loop.add_argument("--agent", required=True, metavar="NAME", help="whose token to use")
    desk = command("desk", driving.desk, "answer a customer by the support desk")
    for each in (loop, desk):
        each.add_argument("--task", required=True, help="what is to be done")
    for each in (order, loop, desk):
        each.add_argument("--run", type=identity, metavar="ID", help="the run's id; one that exists is gone on with")
        _driving(each)
    resume = command("resume", driving.resume, "go on with a run that waits, or was interrupted")
    which = resume.add_mutually_exclusive_group(required=True)
    which.add_argument("run", nargs="?", metavar="RUN")
    which.add_argument("--all", action="store_true", help="every run that can be gone on with, one after another")
    resume.add_argument(
        "--take-over", action="store_true", help="do not wait until a process that is gone is forgotten"
    )
    replay = command("replay", looking.replay_run, "drive what is on record again, and see that it comes out the same")
    replay.add_argument("run", metavar="RUN", help="a run, or a part of one: RUN/PART")
    replay.add_argument("--until", type=_turn, metavar="TURN", help="only so far; prints the conversation")
    replay.add_argument("--live-from", type=_turn, metavar="TURN", help="go on from there as a new run, for real")
    for each in (resume, replay):
        _driving(each, again=True)
    listing = command("list", looking.list_runs, "the runs there are")
    listing.add_argument("--json", action="store_true")
    show = command("show", looking.show, "what happened in a run")
    show.add_argument("run", metavar="RUN", help="a run, or a part of one: RUN/PART")
    show.add_argument("--html", type=Path, metavar="FILE", help="as a page")
    stats = command("stats", looking.show_stats, "how all runs are, taken together")
    stats.add_argument("--prometheus", type=Path, metavar="FILE", help="write metrics for a text file collector")
    stats.add_argument("--push", metavar="URL", help="give metrics to a Pushgateway")
    return made


def _driving(command: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Options of what drives a run; `again`: those left out are as the run was begun."""
    command.add_argument("--gateway", metavar="URL", help=f"TOOLGATE_URL, else {DEFAULT_GATEWAY}")
    command.add_argument("--tokens", type=Path, metavar="FILE", help="JSON object: agent to token")
    model = None if again else DEFAULT_MODEL
    command.add_argument("--model", default=model, help=f"{DEFAULT_MODEL}, or scripted:NAME")
    command.add_argument("--max-cost", type=float, metavar="USD", help="per agent")
    turns = None if again else Limits().max_turns
    command.add_argument("--max-turns", type=_turn, default=turns, metavar="N", help="per agent")
    told = "how long to wait for people (%(default)g)"
    command.add_argument("--wait", type=seconds, default=PATIENCE, metavar="SECONDS", help=told)
    if not again:
        told = "have runs undone when this process is gone for so long"
        command.add_argument("--lease", type=lease, metavar="SECONDS", help=told)
    command.add_argument("--json", action="store_true", help="result as JSON, progress on stderr")


def _turn(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("turns are counted from 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
