"""`python -m agents`: run the order pipeline, or one agent on one task."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator

from agents.loop import PATIENCE, Agent
from agents.model import DEFAULT_MODEL, SCRIPTED, Model, ModelUnavailable, open_model
from agents.order import JOBS, ORDER, order_stages
from agents.pipeline import Report, run_pipeline
from agents.progress import Progress, order_summary, run_summary
from agents.run import Limits

DEFAULT_GATEWAY = "http://127.0.0.1:8080/mcp"
LOOP_SYSTEM = """You are the agent {name}. Do the task you are given with the tools you are offered.
When a tool is refused or fails for good, do not look for a way around it: say what was refused and why."""


class UsageError(Exception):
    """The command cannot be run as it was given; the text names all that is wrong and how to mend it."""


def main(argv: list[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the command; 0 when the run completed, 1 when it failed, 2 when the command is wrong."""
    arguments = _parser().parse_args(argv)
    try:
        return int(asyncio.run(arguments.command(arguments, environ)))
    except (UsageError, ModelUnavailable) as error:
        print(f"agents: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("agents: interrupted; what was done so far is taken back only where a --lease runs out", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="order|loop")
    order = commands.add_parser("order", help="run an order through the five specialists")
    order.add_argument("--file", required=True, type=Path, help="the order, a JSON file")
    order.set_defaults(command=_order)
    loop = commands.add_parser("loop", help="run one agent on one task")
    loop.add_argument("--task", required=True, help="what the agent is to do")
    loop.add_argument("--agent", required=True, metavar="NAME", help="whose token to use")
    loop.set_defaults(command=_loop)
    for command in (order, loop):
        command.add_argument("--gateway", metavar="URL", help=f"TOOLGATE_URL, else {DEFAULT_GATEWAY}")
        command.add_argument("--tokens", type=Path, metavar="FILE", help="JSON object: agent to token")
        command.add_argument("--model", default=DEFAULT_MODEL, help=f"{DEFAULT_MODEL}, or scripted:NAME")
        command.add_argument("--max-cost", type=float, default=math.inf, metavar="USD", help="per agent")
        command.add_argument(
            "--lease",
            type=_seconds,
            metavar="SECONDS",
            help="have runs undone when this process is gone for so long",
        )
        command.add_argument("--json", action="store_true", help="result as JSON, progress on stderr")
    return parser


async def _order(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    order = _read_order(arguments.file)
    tokens = _tokens(list(JOBS), arguments.tokens, environ)
    gateway = _gateway(arguments, environ)
    progress = Progress(sys.stderr if arguments.json else sys.stdout)
    async with open_model(arguments.model, environ) as model:
        _announce(model, progress)
        stages = order_stages(
            lambda name, job, system: Agent(
                name=name,
                job=job,
                system=system,
                token=tokens[name],
                gateway=gateway,
                model=model,
                limits=Limits(cost=arguments.max_cost, lease=arguments.lease),
                on_event=progress,
            )
        )
        run_id = f"{order['order_id']}-{uuid.uuid4().hex[:8]}"
        report = await run_pipeline(stages, {"order": order}, run_id=run_id, on_event=progress)
    print(_json(report) if arguments.json else order_summary(order["order_id"], report))
    return 0 if report.completed else 1


async def _loop(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    name = arguments.agent
    token = _tokens([name], arguments.tokens, environ)[name]
    gateway = _gateway(arguments, environ)
    progress = Progress(sys.stderr if arguments.json else sys.stdout)
    async with open_model(arguments.model, environ) as model:
        _announce(model, progress)
        agent = Agent(
            name=name,
            job="Does one task.",
            system=LOOP_SYSTEM.format(name=name),
            token=token,
            gateway=gateway,
            model=model,
            limits=Limits(cost=arguments.max_cost, lease=arguments.lease),
            on_event=progress,
        )
        run = await agent.run(arguments.task, run_id=f"{name}-{uuid.uuid4().hex[:8]}")
        await agent.wait(run, PATIENCE)
    if arguments.json:
        keys = ("id", "agent", "model", "outcome", "detail", "text", "turns", "tokens", "cost")
        print(json.dumps({key: getattr(run, key) for key in keys}, indent=2))
    else:
        print(run.text or f"{run.outcome}: {run.detail}", f"{name}: {run_summary(run)}", sep="\n")
    return 0 if run.outcome == "end_turn" else 1


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("a lease is from 1 second to a day (86400)")
    return seconds


def _announce(model: Model, progress: Progress) -> None:
    if model.name.startswith(SCRIPTED):
        progress.say(f"The model is scripted ({model.name}): no real model is asked, no cost is known.")
    else:
        progress.say(f"The model is {model.name}.")


def _gateway(arguments: argparse.Namespace, environ: Mapping[str, str]) -> str:
    url = str(arguments.gateway or environ.get("TOOLGATE_URL") or DEFAULT_GATEWAY)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"the gateway's address {url!r} is no http(s) URL; give one like {DEFAULT_GATEWAY}")
    return url


def _tokens(agents: list[str], file: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The token of each agent, from the file, else from TOOLGATE_TOKEN_<AGENT>."""
    given = _read_json(file) if file else {}
    if not isinstance(given, dict):
        raise UsageError(f"{file} should be a JSON object that maps each agent to its token")
    found = {name: given.get(name) or environ.get(_variable(name)) for name in agents}
    wrong = [name for name, token in found.items() if not isinstance(token, str) or not token.isascii()]
    if wrong:
        wanted = ", ".join(f"{name} ({_variable(name)})" for name in wrong)
        raise UsageError(
            f"no token for {wanted}; put each in the --tokens file or in its variable. "
            "`toolgate token create` makes one"
        )
    return {name: str(token) for name, token in found.items()}


def _variable(agent: str) -> str:
    return f"TOOLGATE_TOKEN_{agent.upper().replace('-', '_')}"


def _read_order(file: Path) -> dict[str, Any]:
    order = _read_json(file)
    errors = sorted(Draft202012Validator(ORDER).iter_errors(order), key=lambda error: error.json_path)
    if errors:
        problems = "; ".join(f"{error.json_path}: {error.message}" for error in errors)
        raise UsageError(f"{file} is not an order: {problems}. See agents/examples/order.json")
    return dict(order)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{file} is not JSON: {error}") from None


def _json(report: Report) -> str:
    stages = [
        {
            "stage": result.stage,
            "completed": result.output is not None,
            "reason": result.reason,
            "output": result.output,
            "retries": result.retries,
            "outcome": result.run.outcome,
            "turns": result.run.turns,
            "tokens": result.run.tokens,
            "cost": result.run.cost,
        }
        for result in report.results
    ]
    undone = [asdict(undone) for undone in report.undone]
    whole = {"run": report.run, "completed": report.completed, "stages": stages, "undone": undone}
    return json.dumps(whole, indent=2)


if __name__ == "__main__":
    sys.exit(main())
