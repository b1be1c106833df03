"""What a run is made of: plain JSON values, so that a run can be written down, read back and continued."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]
"""A content block of the Messages API as it stands on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where a run stops. Checked between turns, so a run can exceed `tokens` or `cost` by one turn."""

    max_turns: int = 20
    tokens: int = 400_000
    """Input, cache and output tokens of all requests together."""
    cost: float = math.inf
    """US dollars. A finite limit needs a model whose price is known; otherwise nothing runs."""
    max_tokens: int = 16_000
    """Output tokens of one answer; far above it the SDK insists on streaming."""
    call_seconds: float = 120.0
    """How long one tool call may take. Below 300: there the MCP transport gives up on the connection."""
    lease: float | None = None
    """Seconds of silence after which the gateway undoes the run, for its agent is gone then. None: never."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run: `kind` says what, `data` is JSON.

    message, answer, call, result, waiting and finished come from an agent's run; stage, rejected, staged, undone and
    unclosed from a pipeline.
    """

    run: str
    agent: str
    kind: str
    data: dict[str, Any]


OnEvent = Callable[[Event], Awaitable[None]]
"""Awaited before the run goes on, so that a journal can be durable first. What it raises ends the run."""


async def ignore(event: Event) -> None:
    """The hook of those who do not listen."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One conversation and its account. Only its agent changes it; `dataclasses.asdict` is its JSON."""

    id: str
    agent: str
    model: str
    closes: bool = False
    """Whether its good end is told to the gateway, which then keeps nothing to undo it with."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: dict[str, Block] = field(default_factory=dict)
    """tool_result blocks of the turn in progress, by tool_use id; moved into `messages` when all are there."""
    waiting: dict[str, Any] = field(default_factory=dict)
    """Tickets of calls a human has yet to decide, by tool_use id."""
    usage: list[dict[str, Any]] = field(default_factory=list)
    costs: list[float | None] = field(default_factory=list)
    text: str = ""
    """What the model said last, kept also when the run ends badly."""
    outcome: str = "running"
    detail: str = ""

    @property
    def turns(self) -> int:
        return len(self.usage)

    @property
    def tokens(self) -> int:
        kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
        return sum(usage.get(kind) or 0 for usage in self.usage for kind in kinds)

    @property
    def cost(self) -> float | None:
        """US dollars, or None when the price of any request is not known."""
        return total(self.costs)

    def exceeds(self, limits: Limits, *, is_priced: bool) -> tuple[str, str] | None:
        """The outcome and detail of the first limit reached, or None while the run may go on."""
        if self.turns >= limits.max_turns:
            return "max_turns", f"{self.turns} of {limits.max_turns} turns used"
        if self.tokens >= limits.tokens:
            return "token_budget", f"{self.tokens} of {limits.tokens} tokens used"
        if math.isfinite(limits.cost):
            if self.cost is None or not is_priced:
                return "cost_limit", f"no price is known for {self.model}, so a cost limit cannot be kept"
            if self.cost >= limits.cost:
                return "cost_limit", f"{self.cost:.4f} of {limits.cost:.4f} US dollars used"
        return None

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
    """The sum, or None when one of them is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
