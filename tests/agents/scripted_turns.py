"""Scripts for tests: a fixed list of turns, and the requests the model was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from agents.agent import Agent

MakeAgent = Callable[..., Coroutine[Any, Any, Agent]]
Turn = dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Turns:
    """Answers request n with turn n, whatever it is asked; a request after the last turn fails."""

    turns: list[Turn]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        turn = self.turns[len(self.requests) - 1]
        return turn(request) if callable(turn) else turn


def text(said: str, stop: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], "stop_reason": stop, **more}


def answer(value: Any) -> dict[str, Any]:
    return text(json.dumps(value))


def use(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": tool, "input": arguments}


def calls(*uses: dict[str, Any], stop: str = "tool_use", **more: Any) -> dict[str, Any]:
    return {"content": list(uses), "stop_reason": stop, **more}


STOCK = use(1, "inventory__check_stock", {"sku": "LAMP-01"})
