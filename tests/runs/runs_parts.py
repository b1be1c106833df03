"""What the tests of runs share: the parts that keep runs, with a store of their own, and gateways in front of deeds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from databases import Place
from deeds import Workshop
from gateway_process import GatewayProcess
from raw_client import Modern, Reply, eventually, pool
from sqlalchemy import Connection

from gateway.approvals import Ticket
from gateway.call import Call, Compensation, Facts, Permit, Principal, Silent, Tool
from gateway.config import load
from gateway.runs import Run
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
    """The parts that keep runs, on the store at a place, without a gateway around them."""

    def __init__(self, place: Place) -> None:
        self.folder = place.path.parent
        file = self.folder / "gateway.toml"
        file.write_text(f"[gateway]\n{place.setting}\n")
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
def books(place: Place) -> Iterator[Books]:
    made = Books(place)
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


@contextmanager
def beside(gateway: GatewayProcess) -> Iterator[State]:
    """The state of a running gateway, as the command line opens it."""
    state = State(load(gateway.config, {}))
    try:
        yield state
    finally:
        state.close()


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of the gateway that makes calls in runs."""

    name: str
    client: Modern

    async def call(self, run: str | None, tool: str, arguments: dict[str, Any], **meta: Any) -> Reply:
        """A call of the deeds' `tool`, or of the gateway's own when its name begins with `toolgate__`."""
        named = tool if tool.startswith("toolgate__") else f"works__{tool}"
        told = {} if run is None else {"toolgate/run": run}
        return await self.client.call(named, arguments, **told, **{f"toolgate/{key}": meta[key] for key in meta})

    async def do(self, run: str, *names: str, tool: str = "do", **meta: Any) -> None:
        """Do things whose names begin with that of the run, one after the other."""
        for name in names:
            reply = await self.call(run, tool, {"name": f"{run}.{name}"}, **meta)
            assert reply.ok, reply

    async def rollback(self, run: str) -> dict[str, Any]:
        """What the gateway's own tool says."""
        reply = await self.call(run, "toolgate__rollback", {})
        assert reply.ok, reply
        return dict(reply.result["structuredContent"])


@asynccontextmanager
async def agents(gateway: GatewayProcess, *names: str) -> AsyncIterator[list[Agent]]:
    async with pool() as session:
        yield [Agent(name, Modern(session, gateway.url(), gateway.headers(name))) for name in names]


def found(gateway: GatewayProcess, run: str, agent: str = "worker") -> Run:
    with beside(gateway) as state:
        (run_,) = state.runs.find(run=run, agent=agent)
    return run_


async def in_state(gateway: GatewayProcess, run: str, state: str, seconds: float = 10) -> Run:
    """Wait until the run is in this state."""
    await eventually(lambda: found(gateway, run).state == state, seconds)
    return found(gateway, run)


def standing(gateway: GatewayProcess, run: str) -> list[Ticket]:
    """The tickets of a run that wait, the latest first."""
    with beside(gateway) as state:
        return state.approvals.find(states=["pending"], run=run)


def decide(gateway: GatewayProcess, ticket: str, verdict: Literal["approve", "reject"]) -> None:
    with beside(gateway) as state:
        state.store.run(lambda connection: state.approvals.decide(connection, ticket, "rita", verdict, "seen"))


def settle(gateway: GatewayProcess, call: str, verdict: Literal["happened", "did_not"]) -> bool:
    with beside(gateway) as state:
        return state.store.run(lambda connection: state.ledger.settle(connection, call, "rita", verdict, "looked"))
