"""Conversations replayed: what the model answered and what tools returned is taken from the record, all else is the
real loop. Every entry that it writes must be the one on record.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from anthropic import AsyncAnthropic

from agents.journal import Entry, Journal
from agents.loop import PENDING, REFUSAL, TICKET, Loop
from agents.marking import unmarked
from agents.model import Model, open_scripted
from agents.run import Limits, Run
from agents.runs import Runs
from agents.scripted.server import ApiError
from agents.tools import Answer

UNCLOSED = "the gateway did not close the run"


class Diverged(Exception):
    """The replay wrote another entry than the one on record; the text shows both."""


class Ended(Exception):
    """The record goes no further here: the process had ended, or its work was cancelled."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the replay of one conversation came to: `problem` is empty when all its entries are equal."""

    run: Run
    equal: int
    entries: int
    problem: str


class Record(Journal):
    """The entries of one run, against which those that a replay writes are held."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self.entries = entries
        self.written = 0
        self._moved = asyncio.Condition()

    @property
    def coming(self) -> Entry | None:
        """The entry that has to be written next."""
        return self.entries[self.written] if self.written < len(self.entries) else None

    async def append(self, run: str, seq: int, kind: str, data: dict[str, Any]) -> Entry:
        """The entry on record, if it is this one. Raises Diverged and Ended."""
        recorded, made = self.coming, json.loads(json.dumps(data))
        if recorded is not None and (kind, made) != (recorded.kind, recorded.data) and not is_given(recorded):
            raise Diverged(f"entry {seq} was {_told(recorded.kind, recorded.data)}; replayed it is {_told(kind, made)}")
        if recorded is None or (kind, made) != (recorded.kind, recorded.data):
            raise Ended
        async with self._moved:
            self.written = seq
            self._moved.notify_all()
        return recorded

    async def answer(self, call: str) -> Entry:
        """What came of a call, when its turn is; calls made side by side end in the order on record. Raises Ended."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._is_up(call))
        if self.coming is None or self.coming.kind not in ("result", "waiting"):
            raise Ended
        return self.coming

    def _is_up(self, call: str) -> bool:
        coming = self.coming
        if coming is not None and coming.kind in ("result", "waiting"):
            return bool(coming.data["call"]["id"] == call)
        return coming is None or coming.kind != "call"


_GIVEN = frozenset({"started", "message", "resumed"})


def is_given(entry: Entry) -> bool:
    """Whether an entry comes from outside of the loop."""
    return entry.kind in _GIVEN or (entry.kind == "finished" and entry.data["outcome"] in ("dropped", "gateway_error"))


def _told(kind: str, data: dict[str, Any]) -> str:
    whole = f"{kind} {json.dumps(data, sort_keys=True)}"
    return whole if len(whole) <= 400 else f"{whole[:400]}..."


@dataclass(frozen=True, slots=True)
class RecordedModel(Model):
    """A model that answers what is on record, at the cost that is on record."""

    record: Record = field(kw_only=True)

    @property
    def is_priced(self) -> bool:
        costs = [entry.data["cost"] for entry in self.record.entries if entry.kind == "answer"]
        return bool(costs) and None not in costs

    def cost(self, usage: Any) -> float | None:
        coming = self.record.coming
        cost: float | None = coming.data["cost"] if coming is not None and coming.kind == "answer" else None
        return cost


@dataclass(frozen=True, slots=True)
class RecordedTools:
    """Tools that return what is on record."""

    record: Record
    definitions: Sequence[dict[str, Any]] = ()

    async def call(self, name: str, arguments: dict[str, Any], *, run: str, key: str) -> Answer:
        entry = await self.record.answer(key.rpartition("/")[2])
        if entry.kind == "waiting":
            return Answer([], is_error=False, meta={PENDING: entry.data["ticket"]})
        result = entry.data["result"]
        meta = {REFUSAL: entry.data["refusal"], TICKET: entry.data["ticket"]}
        return Answer(unmarked(result["content"]), bool(result.get("is_error")), meta)


def until_turn(entries: Sequence[Entry], turns: int) -> list[Entry]:
    """The entries up to what came of so many answers of the model."""
    answers = [at for at, entry in enumerate(entries) if entry.kind == "answer"]
    return list(entries if turns >= len(answers) else entries[: answers[turns]])


async def replay(entries: Sequence[Entry]) -> Verdict:
    """Drive one conversation again."""
    record = Record(entries)
    run = Run(id=entries[0].run)
    async with _recorded_model(record) as model:
        loop = Loop(Runs(record), model, "", RecordedTools(record), _limits(entries[0]))
        problem = ""
        while record.coming is not None and not problem:
            written = record.written
            try:
                await _go_on(loop, record, run)
            except* Ended:
                pass
            except* Diverged as diverged:
                problem = str(diverged.exceptions[0])
            if record.written == written and not problem:
                problem = f"entry {written + 1} was {_told(record.coming.kind, record.coming.data)}; it never came"
    return Verdict(run, record.written, len(entries), problem)


async def _go_on(loop: Loop, record: Record, run: Run) -> None:
    """What comes from outside is given, and then it is the loop's turn until it ends."""
    while (coming := record.coming) is not None and is_given(coming):
        await loop.runs.note(run, coming.kind, coming.data)
    if coming is None:
        return
    outcome, detail = await loop.drive(run)
    coming = record.coming
    if coming is not None and coming.kind == "finished" and coming.data["detail"].startswith(UNCLOSED):
        detail = coming.data["detail"]  # the gateway's word, after the loop's
    await loop.runs.note(run, "finished", {"outcome": outcome, "detail": detail})


def _limits(started: Entry) -> Limits:
    return Limits(**{**started.data["limits"], "call_seconds": 0.0})  # nothing is under way that could be waited for


@asynccontextmanager
async def _recorded_model(record: Record) -> Any:
    """Over the real client: the Messages API serves what is on record."""

    def script(request: dict[str, Any]) -> dict[str, Any]:
        coming = record.coming
        if coming is not None and coming.kind == "answer":
            return {name: value for name, value in coming.data.items() if name != "cost"}
        is_error = coming is not None and coming.data.get("outcome") == "model_error"
        detail = coming.data["detail"] if coming is not None and is_error else "the record goes no further"
        raise ApiError(400, "invalid_request_error", detail)

    name = record.entries[0].data["model"]
    async with open_scripted(name, script) as model:
        client: AsyncAnthropic = model.client
        yield RecordedModel(client, name, record=record)
