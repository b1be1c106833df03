"""What a run is made of: plain JSON values, which its journal entries add up to."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from agents.journal import Entry

Block = dict[str, Any]
"""A content block of the Messages API as it stands on the wire."""

UNFINISHED = frozenset({"running", "waiting", "model_error", "gateway_error"})
"""Outcomes after which a run may be gone on with: it waits for people, or something failed that is not its own."""
LIMITED = frozenset({"max_turns", "max_calls", "token_budget", "cost_limit", "time_limit"})
"""The same with larger limits."""

_NEAR = 0.8
_ALIKE = 3
"""Calls with one answer after which the model is told that it goes round in circles; the next one ends the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a run stops. Checked between turns, so a run can exceed `tokens`, `cost` or `seconds` by one turn."""

    max_turns: int = 20
    max_calls: int = 200
    tokens: int = 400_000
    """Input, cache and output tokens of all requests together."""
    cost: float = math.inf
    """US dollars. A finite limit needs a model whose price is known; otherwise nothing runs."""
    seconds: float = math.inf
    """Time at work; what it waits for people, or lies still after a crash, does not count."""
    max_tokens: int = 16_000
    """Output tokens of one answer."""
    call_seconds: float = 120.0
    """How long one tool call may take. Below 300: there the MCP transport gives up on the connection."""
    lease: float | None = None
    """Seconds of silence after which the gateway undoes the run, for its agent is gone then. None: never."""

    def told(self) -> dict[str, Any]:
        """Those that are set, as JSON."""
        return {name: value for name, value in asdict(self).items() if value not in (None, math.inf)}


@dataclass(slots=True, kw_only=True)
class Run:
    """One conversation, or one pattern with its parts. Only `apply` changes it; `dataclasses.asdict` is its JSON.

    `outcome`: running, or how it ended: see `agents.agent`. `detail` says more where there is more.
    """

    id: str
    agent: str = ""
    model: str = ""
    task: str = ""
    closes: bool = True
    """Whether its good end is told to the gateway, which then keeps nothing to undo it with."""
    limits: dict[str, Any] = field(default_factory=dict)
    """As it was begun with them, by name."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """What makes it again, where it is nobody's part and was begun by the command line."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, Block] = field(default_factory=dict)
    """tool_result blocks of the turn in progress, by tool_use id; moved into `messages` when all are there."""
    waiting: dict[str, Any] = field(default_factory=dict)
    """Tickets of calls a human has yet to decide, by tool_use id."""
    usage: list[dict[str, Any]] = field(default_factory=list)
    costs: list[float | None] = field(default_factory=list)
    text: str = ""
    """What the model said last, kept also when the run ends badly."""
    stop: str = ""
    stop_detail: str = ""
    """Why the model stopped when it answered last, and in its words; empty once something was said to it."""
    outcome: str = "running"
    detail: str = ""
    warned: list[str] = field(default_factory=list)
    said: int = 0
    """Messages the run was given: its task, and what followed."""
    seconds: float = 0.0
    """Time at work."""
    seq: int = 0
    at: float = 0.0
    """When its last entry was written, in seconds since the epoch; `began`: the first one."""
    began: float = 0.0
    notes: list[dict[str, Any]] = field(default_factory=list)
    """What a pattern put on record of its parts: `kind` and what belongs to it."""
    parts: list[Run] = field(default_factory=list)
    """Runs that this one is made of, in the order in which they began."""

    def apply(self, entry: Entry) -> None:
        """What an entry changes."""
        if entry.kind != "resumed" and self.seq:
            self.seconds += max(0.0, entry.at - self.at)
        self.seq, self.at = entry.seq, entry.at
        data = entry.data
        match entry.kind:
            case "started":
                self.agent, self.model, self.task = data["agent"], data["model"], data["task"]
                self.closes, self.limits = data["closes"], data["limits"]
                self.recipe, self.began = data.get("recipe", {}), entry.at
                if data["model"]:
                    self._say(self.task)
            case "message":
                self._say(data["text"])
            case "resumed":
                self.outcome, self.detail = "running", ""
            case "answer":
                self.usage.append(data["usage"])
                self.costs.append(data["cost"])
                self.messages.append({"role": "assistant", "content": data["content"]})
                self.text = "".join(block["text"] or "" for block in data["content"] if block["type"] == "text")
                self.stop = data["stop_reason"]
                self.stop_detail = (data.get("stop_details") or {}).get("explanation") or ""
            case "waiting":
                self.waiting[data["call"]["id"]] = data["ticket"]
            case "result":
                self._answer(data["call"]["id"], data["result"])
            case "warned":
                self.warned.append(data["why"])
                self.messages[-1]["content"].append({"type": "text", "text": data["text"]})
            case "finished":
                self._end(**data)
            case "call":
                pass  # made, and not answered yet: it is made again, under its key
            case _:
                self.notes.append({"kind": entry.kind, **data})

    def _say(self, text: str) -> None:
        self.said += 1
        self.outcome, self.detail, self.stop = "running", "", ""
        self.messages.append({"role": "user", "content": [{"type": "text", "text": text}]})

    def _answer(self, call: str, result: Block) -> None:
        self.waiting.pop(call, None)
        self.results[call] = result
        calls = self.unanswered()
        if all(use["id"] in self.results for use in calls):
            self.messages.append({"role": "user", "content": [self.results.pop(use["id"]) for use in calls]})
            self.stop = ""

    def _end(self, outcome: str, detail: str, text: str | None = None) -> None:
        self.outcome, self.detail = outcome, detail
        if text is not None:
            self.text = text
        if outcome in UNFINISHED or not self.messages or self.messages[-1]["role"] != "assistant":
            return
        if self.unanswered() or not self.messages[-1]["content"]:  # cut off: it is never made, and cannot be sent again
            self.messages.pop()

    @property
    def ok(self) -> bool:
        return self.outcome == "end_turn"

    @property
    def agents(self) -> list[Run]:
        """The conversations that it is made of, in the order in which they began."""
        return [run for part in self.parts for run in part.agents] + ([self] if self.messages else [])

    @property
    def turns(self) -> int:
        return len(self.usage) + sum(part.turns for part in self.parts)

    @property
    def tokens(self) -> int:
        kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
        own = sum(usage.get(kind) or 0 for usage in self.usage for kind in kinds)
        return own + sum(part.tokens for part in self.parts)

    @property
    def cost(self) -> float | None:
        """US dollars, or None when the price of any request is not known."""
        return total([*self.costs, *(part.cost for part in self.parts)])

    def exceeds(self, limits: Limits, *, is_priced: bool) -> tuple[str, str] | None:
        """The outcome and detail of the first limit reached, or None while the run may go on."""
        if math.isfinite(limits.cost) and (self.cost is None or not is_priced):
            return "cost_limit", f"no price is known for {self.model}, so a cost limit cannot be kept"
        for outcome, used, most, unit in self._used(limits):
            if used >= most:
                return outcome, f"{used:.10g} of {most:.10g} {unit} used"
        if "loop" in self.warned and self._alike() > _ALIKE:
            return "loop", f"the same call had the same answer {self._alike()} times"
        return None

    def warning(self, limits: Limits) -> tuple[str, str] | None:
        """What the model should be told before its next turn, and why; each once."""
        if "loop" not in self.warned and self._alike() >= _ALIKE:
            return "loop", "You made the same call several times and had the same answer. It will not change: go on."
        for outcome, used, most, unit in self._used(limits):
            last = outcome == "max_turns" and used >= max(1, most - 1)
            if outcome not in self.warned and (last or used >= _NEAR * most):
                left = f"{most - used:.4g} of {most:.10g} {unit}"
                return outcome, f"Only {left} are left to you. Come to an end: say what is done, and what is not."
        return None

    def _used(self, limits: Limits) -> Iterator[tuple[str, float, float, str]]:
        yield "max_turns", len(self.usage), limits.max_turns, "turns"
        yield "max_calls", len(self.calls()), limits.max_calls, "calls"
        yield "token_budget", self.tokens, limits.tokens, "tokens"
        yield "cost_limit", self.cost or 0.0, limits.cost, "US dollars"
        yield "time_limit", self.seconds, limits.seconds, "seconds"

    def _alike(self) -> int:
        """How often the last call was made with the very same answer."""
        made = [
            json.dumps([use["name"], use["input"], result["content"]], sort_keys=True) for use, result in self.calls()
        ]
        return Counter(made)[made[-1]] if made else 0

    def unanswered(self) -> list[Block]:
        """The tool_use blocks of the last message that have no tool_result message yet."""
        if not self.messages or self.messages[-1]["role"] != "assistant":
            return []
        return [block for block in self.messages[-1]["content"] if block["type"] == "tool_use"]

    def calls(self) -> list[tuple[Block, Block]]:
        """Every answered call, oldest first: (tool_use, tool_result)."""
        blocks = [block for message in self.messages for block in message["content"]]
        results = {block["tool_use_id"]: block for block in blocks if block["type"] == "tool_result"}
        results |= self.results
        uses = [block for block in blocks if block["type"] == "tool_use"]
        return [(use, results[use["id"]]) for use in uses if use["id"] in results]


def total(costs: list[float | None]) -> float | None:
    """The sum of the costs, or None when one of them is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
