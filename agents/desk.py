"""The support desk: a planner who has no tools, and three specialists, each with its own prompt, token and tools."""

from __future__ import annotations

from collections.abc import Callable

from agents.agent import Agent
from agents.orchestrator import Orchestrator
from agents.runs import Runs

PLANNER = """You are the planner of a support desk. A message of a customer comes in; specialists do the work.
Plan it, one task for each thing the customer asks for, or answer the customer from what came of the tasks, in a few
plain sentences. Never promise what no specialist has done."""

SYSTEM = """You are the {name} specialist of a support desk. {job}
{how}
Use tools for every fact; never invent an id, a sum or a place. Do not repeat a call that succeeded.
Report in one or two sentences what you did, or found, or could not do and why. A refusal is an answer: report it."""

JOBS = {
    "address": "Changes the address that parcels of a customer go to.",
    "discount": "Works out what a discount code is worth, and takes it off what the customer owes.",
    "parcel": "Finds out where orders and parcels are.",
}
"""Each specialist's job, in one sentence."""

HOW = {
    "address": "Look up the address first; change nothing if it is the same already.",
    "discount": "The code counts for what the customer owes now. A code that is not valid takes nothing off.",
    "parcel": "Look for the customer's orders. Track the parcel where the customer gives its number.",
}


def support_desk(make_agent: Callable[[str, str, str], Agent], planner: Agent, runs: Runs) -> Orchestrator:
    """The desk, whose task is a customer's message; `make_agent(name, job, system prompt)` gives it its specialists."""
    specialists = {
        name: make_agent(name, job, SYSTEM.format(name=name, job=job, how=HOW[name])) for name, job in JOBS.items()
    }
    job = "Answers customers, with three specialists."
    return Orchestrator(name="desk", job=job, runs=runs, planner=planner, specialists=specialists)
