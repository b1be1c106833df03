"""`rate` and `run` of an agent's file: how often it may ask at all, and how far one run of it may go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.policy.extras import RATE, SPAN
from gateway.policy.rules import nearest
from gateway.policy.terms import rate, span
from gateway.policy.vocabulary import Fault
from gateway.terms import NO_CEILINGS, SECONDS, Ceilings

_RUN = ("calls", "time")


def read_ceilings(table: Mapping[str, Any]) -> tuple[Ceilings, list[Fault]]:
    """What the file says, and everything wrong with it; what is wrong is left out."""
    found = [*_rate_faults(table), *_run_faults(table)]
    if found or not ("rate" in table or "run" in table):
        return NO_CEILINGS, found
    limit = rate(table["rate"]) if "rate" in table else None
    run = table.get("run", {})
    per_second = None if limit is None else limit.count / SECONDS[limit.period]
    return Ceilings(per_second, run.get("calls"), span(run.get("time"))), []


def _rate_faults(table: Mapping[str, Any]) -> Iterator[Fault]:
    given = table.get("rate", "1/second")
    if not isinstance(given, str) or not RATE.fullmatch(given):
        yield "rate", "is no rate", 'write for example rate = "20/second"'


def _run_faults(table: Mapping[str, Any]) -> Iterator[Fault]:
    run = table.get("run", {"calls": 1})
    if not isinstance(run, dict) or not run:
        yield "run", "is not a table that says something", 'write for example run = { calls = 50, time = "10m" }'
        return
    for key in sorted(run.keys() - {*_RUN}):
        yield f"run.{key}", "is not a key of run", nearest(key, _RUN)
    calls = run.get("calls", 1)
    if isinstance(calls, bool) or not isinstance(calls, int) or calls < 1:
        yield "run.calls", "is no whole number from 1", "write for example calls = 50"
    time = run.get("time", "1m")
    if not isinstance(time, str) or not SPAN.fullmatch(time):
        yield "run.time", "is no span of time", 'write a number and s, m, h, d or w, such as "10m"'
