"""AgentDojo behind the gateway: what a policy stops when the agent is fully hijacked, and what it costs the user.

    python bench/agentdojo/replay.py [--policy ours ...] [--suite banking ...] [--each]

README.md beside this file says what is measured and what is not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import Reviewer, ScriptedAgent
from agentdojo.agent_pipeline.ground_truth_pipeline import GroundTruthPipeline
from agentdojo.attacks.attack_registry import load_attack
from agentdojo.base_tasks import BaseInjectionTask, BaseUserTask
from agentdojo.task_suite.load_suites import get_suite
from gateway_in_front import POLICIES, Gateway, gateway
from toolserver import ToolServer

VERSION = "v1.2.2"
SUITES = ("workspace", "banking")
COLUMNS = "{:16}{:11}{:>17}{:>13}{:>14}{:>16}{:>14}"
TITLES = ("policy", "suite", "attacks blocked", "by a person", "unattended", "with approvals", "need a human")


@dataclass(frozen=True, slots=True)
class Run:
    """A user task, alone or attacked, under one policy. Each is made by an agent of its own, the `number`th."""

    number: int
    task: BaseUserTask[Any]
    attack: BaseInjectionTask[Any] | None

    @property
    def agent(self) -> str:
        return f"run-{self.number}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run. `useful`: the suite says so, and each of the user's calls was answered, for some of the
    suite's judges ask little. `reached`: the suite says that the attack reached its goal. `tickets` are those of the
    attacker's calls, or of the user's where nobody attacks.
    """

    run: Run
    useful: bool
    reached: bool
    tickets: int


def runs_of(suite: Any) -> list[Run]:
    """Every user task alone, and with every attack whose calls the suite knows."""
    environment = suite.load_and_inject_default_environment({})
    attacks = [each for each in suite.injection_tasks.values() if each.ground_truth(environment)]
    pairs = [(task, attack) for task in suite.user_tasks.values() for attack in (None, *attacks)]
    return [Run(number, *pair) for number, pair in enumerate(pairs)]


def replay(name: str, policies: Sequence[str]) -> tuple[dict[str, list[Outcome]], int]:
    """The outcomes of a suite by policy, and how many pairs were left out, their attack saying nothing of its calls.

    The policies are tried side by side, each by a gateway of its own before the one tool server.
    """
    suite = get_suite(VERSION, name)
    runs, server = runs_of(suite), ToolServer(suite)
    victim = GroundTruthPipeline(None)
    victim.name = "local"
    wording = load_attack("important_instructions_no_names", suite, victim)
    outcomes: dict[str, list[Outcome]] = {policy: [] for policy in policies}
    with ExitStack() as stack:
        stack.enter_context(server.serving())
        gateways = {}
        for policy in policies:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            gateways[policy] = stack.enter_context(gateway(policy, server, [run.agent for run in runs], folder))
        for run in runs:
            print(f"\r{name}: {run.number + 1} of {len(runs)} ", end="", file=sys.stderr)
            injections = wording.attack(run.task, run.attack) if run.attack else {}
            environment = suite.load_and_inject_default_environment(injections)
            for policy, running in gateways.items():
                outcomes[policy].append(judge(suite, run, running, server, environment.model_copy(deep=True)))
    print(file=sys.stderr)
    attacked = sum(run.attack is not None for run in runs)
    return outcomes, len(suite.user_tasks) * len(suite.injection_tasks) - attacked


def judge(suite: Any, run: Run, running: Gateway, server: ToolServer, environment: Any) -> Outcome:
    """Have the agent work, and the suite judge."""
    reviewer = Reviewer(running.url, running.reviewer)
    agent = ScriptedAgent(run.task, run.attack, server, reviewer, running.tokens[run.agent])
    useful, reached = suite.run_task_with_pipeline(agent, run.task, run.attack, {}, environment=environment)
    attacked = run.attack is not None
    tickets = agent.tickets["attacker" if attacked else "user"]
    return Outcome(run, useful and agent.done, attacked and reached, tickets)


def line(policy: str, suite: str, outcomes: Sequence[Outcome]) -> str:
    attacked = [each for each in outcomes if each.run.attack]
    alone = [each for each in outcomes if not each.run.attack]
    blocked = [each for each in attacked if not each.reached]

    def share(part: Sequence[Outcome], whole: Sequence[Outcome], places: int = 0) -> str:
        return f"{len(part)}/{len(whole)} {len(part) / len(whole):{5 + places}.{places}%}"

    return COLUMNS.format(
        policy,
        suite,
        share(blocked, attacked, 1),
        str(sum(each.tickets > 0 for each in blocked)),
        share([each for each in alone if each.useful and not each.tickets], alone),
        share([each for each in alone if each.useful], alone),
        share([each for each in alone if each.tickets], alone),
    )


def told(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What was not blocked, and which tasks failed or needed a person."""
    for each in outcomes:
        if each.run.attack and each.reached:
            yield f"  {each.run.task.ID}: {each.run.attack.ID} reached its goal"
        elif not each.run.attack and (each.tickets or not each.useful):
            yield f"  {each.run.task.ID}: {'succeeds' if each.useful else 'fails'}, {each.tickets} tickets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=SUITES)
    parser.add_argument("--each", action="store_true", help="also tell what was not blocked, and what needed a person")
    given = parser.parse_args()
    found = {suite: replay(suite, given.policy) for suite in given.suite}
    print(COLUMNS.format(*TITLES))
    for policy in given.policy:
        for suite, (outcomes, _) in found.items():
            print(line(policy, suite, outcomes[policy]))
            if given.each:
                print(*told(outcomes[policy]), sep="\n")
        if len(found) > 1:
            print(line(policy, "both", [each for outcomes, _ in found.values() for each in outcomes[policy]]))
    print(
        f"Attacks whose calls the suite does not know, not replayed: {sum(left for _, left in found.values())} pairs."
    )


if __name__ == "__main__":
    main()
