"""Recipes: what makes the runner of a run again, in another process or on another machine. They hold no token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agents import desk, order
from agents.agent import Agent, Runner
from agents.model import Model
from agents.run import Limits
from agents.runs import Runs

LOOP_SYSTEM = """You are the agent {name}. Do the task you are given with the tools you are offered.
When a tool is refused or fails for good, do not look for a way around it: say what was refused and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """`pattern` is loop, order or desk; `agent` whose token a loop uses. `max_cost` is in US dollars, for each agent;
    `lease` in seconds; None: none.
    """

    pattern: str
    model: str
    gateway: str
    agent: str = ""
    max_cost: float | None = None
    max_turns: int = Limits().max_turns
    lease: float | None = None
    part: str = ""
    """The one agent of the pattern that does it all; else the whole does."""

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Recipe:
        """Raises TypeError when it is none."""
        return cls(**told)

    def json(self) -> dict[str, Any]:
        return asdict(self)

    def names(self) -> list[str]:
        """The agents that need a token."""
        names = {"loop": [self.agent], "order": list(order.JOBS), "desk": list(desk.JOBS)}[self.pattern]
        return [name for name in names if self.part in ("", name)]

    def runner(self, model: Model, tokens: Mapping[str, str], runs: Runs) -> Runner:
        """`tokens` are those of `names`."""
        whole = self._whole(model, tokens, runs)
        return next((agent for agent in whole.agents() if agent.name == self.part), whole)

    def _whole(self, model: Model, tokens: Mapping[str, str], runs: Runs) -> Runner:
        cost = math.inf if self.max_cost is None else self.max_cost
        limits = Limits(cost=cost, max_turns=self.max_turns, lease=self.lease)

        def make(name: str, job: str, system: str) -> Agent:
            token, gateway = tokens.get(name, ""), self.gateway
            given: dict[str, Any] = {"name": name, "job": job, "system": system, "token": token, "gateway": gateway}
            return Agent(**given, model=model, limits=limits, runs=runs)

        if self.pattern == "order":
            return order.order_desk(make, runs)
        if self.pattern == "desk":
            given = {"name": "planner", "job": "Plans and answers.", "system": desk.PLANNER}
            return desk.support_desk(make, Agent(**given, model=model, limits=limits, runs=runs), runs)
        return make(self.agent, "Does one task.", LOOP_SYSTEM.format(name=self.agent))
