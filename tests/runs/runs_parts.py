"""What the tests of runs share: the parts that keep runs, with a store of their own, and gateways in front of deeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from deeds import Workshop
from gateway_process import GatewayProcess
from sqlalchemy import Connection

from gateway.call import Call, Compensation, Facts, Permit, Principal, Silent, Tool
from gateway.config import load
from gateway.state import State
from gateway.terms import NO_CEILINGS, Ceilings

T = TypeVar("T")

UNDO = Compensation("undo", {"name": "$.result.made.name", "of": "$.arguments.order.id", "why": "rolled back"})
OWN = "".join(f'[[allow]]\ntool = "toolgate/{name}"\n' for name in ("rollback", "mark_run"))
ALL = '[[allow]]\ntool = "works/*"\n'


def policy(agent: str, rules: str = ALL + OWN, head: str = "") -> dict[str, str]:
    return {f"{agent}.toml": f'agent = "{agent}"\ndescription = "Does things."\n{head}\n{rules}'}


def call(
    number: int,
    *,
    agent: str = "a",
    run: str | None = "r",
    compensate: Compensation | None = UNDO,
    ceilings: Ceilings = NO_CEILINGS,
    arguments: dict[str, Any] | None = None,
    **facts: Any,
) -> Call:
    """A call that was let through, with an id of its own number."""
    tool = Tool("works", "do", {"name": "do"}, Facts(compensate=compensate, **facts), lambda arguments: None)
    given = {"order": {"id": number}} if arguments is None else arguments
    return Call(
        id=f"call-{number}",
        principal=Principal(agent, "t"),
        server="works",
        tool="do",
        name="works__do",
        arguments=given,
        given=given,
        peer=Silent(),
        era="modern",
        run=run,
        definition=tool,
        permit=Permit(rule="a.toml:allow[0]", policy="p", ceilings=ceilings),
    )


def leased(call: Call, seconds: Any) -> Call:
    return replace(call, meta={"toolgate/lease": seconds})


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Books:
    """The parts that keep runs, on a store in `folder`, without a gateway around them."""

    def __init__(self, folder: Path) -> None:
        file = folder / "gateway.toml"
        file.write_text("[gateway]\n")
        self.clock = Clock()
        self.state = State(load(file, {}), clock=self.clock)
        self.runs = self.state.runs

    def do(self, work: Callable[[Connection], T]) -> T:
        return self.state.store.run(work)

    def enter(self, call: Call) -> None:
        self.do(lambda connection: self.runs.enter(connection, call))

    def leave(self, call: Call, name: str = "x") -> None:
        self.do(lambda connection: self.runs.leave(connection, call, {"structuredContent": {"made": {"name": name}}}))

    def mark(self, state: str, *, agent: str = "a", run: str = "r", lease: float | None = None) -> bool:
        return self.do(lambda connection: self.runs.mark(connection, agent, run, state, lease=lease, why="agent"))

    def plans(self, agent: str = "a", run: str = "r") -> list[dict[str, Any]]:
        """The arguments that undo what is left, the latest first."""
        return [dict(self.runs.plan(step.call, step.sealed).arguments) for step in self.runs.steps(agent, run)]


@contextmanager
def books(folder: Path) -> Iterator[Books]:
    made = Books(folder)
    try:
        yield made
    finally:
        made.state.close()


def gateway(
    folder: Path, workshop: Workshop, policies: dict[str, str] | None = None, *, extra: str = "", runs: str = ""
) -> GatewayProcess:
    """A gateway in front of the deeds. `extra` are lines of the server's table, `runs` of `[runs]`."""
    tables = f"{workshop.table(extra)}\n[runs]\nbase = 0.02\ncap = 0.2\n{runs}\n"
    tables += "[throttle]\nper_second = 100000\nburst = 100000\n"
    return GatewayProcess(folder, tables, policies or policy("worker"))
