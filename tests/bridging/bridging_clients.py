"""SDK clients in front of the gateway, and what they hear there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2
import mcp.types as t
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from pydantic import BaseModel, ConfigDict

Era = Literal["legacy", "modern"]
MODE = {"legacy": "legacy", "modern": "2026-07-28"}
TIMEOUT = 10.0
"""Seconds for one request."""


class Raw(BaseModel):
    """Any result, whole."""

    model_config = ConfigDict(extra="allow")


@dataclass(slots=True)
class Heard:
    """What a client was told or asked, in order."""

    notices: list[str] = field(default_factory=list)
    """Methods of notifications that belong to no request."""
    logs: list[tuple[str, Any]] = field(default_factory=list)
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def on_message(self, message: Any) -> None:
        if isinstance(message, t.Notification):
            self.notices.append(message.method)

    async def on_log(self, params: t.LoggingMessageNotificationParams) -> None:
        self.logs.append((params.level, params.data))

    async def on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))


@dataclass(slots=True)
class Answers:
    """How a client answers questions, and so which it says it can be asked. The default is all of them."""

    action: Literal["accept", "decline", "cancel"] = "accept"
    can: frozenset[str] = frozenset({"elicitation", "sampling", "roots"})
    heard: Heard = field(default_factory=Heard)

    def callbacks(self) -> dict[str, Any]:
        known = {
            "elicitation": ("elicitation_callback", self._elicit),
            "sampling": ("sampling_callback", self._sample),
            "roots": ("list_roots_callback", self._roots),
        }
        return dict(known[name] for name in self.can)

    async def _elicit(self, context: Any, params: Any) -> t.ElicitResult:
        self.heard.asked.append(params.message)
        return t.ElicitResult(action=self.action, content={"ok": True} if self.action == "accept" else None)

    async def _sample(self, context: Any, params: t.CreateMessageRequestParams) -> t.CreateMessageResult:
        self.heard.asked.append("sample")
        return t.CreateMessageResult(role="assistant", model="m", content=t.TextContent(text="Thought."))

    async def _roots(self, context: Any) -> t.ListRootsResult:
        self.heard.asked.append("roots")
        return t.ListRootsResult(roots=[t.Root(uri="file:///srv/ada", name="ada")])


NOBODY = frozenset[str]()


@asynccontextmanager
async def connected(
    url: str, headers: dict[str, str], era: Era, answers: Answers | None = None, log_level: Any = None
) -> AsyncIterator[tuple[Client, Heard]]:
    """A client of one era. It can be asked what `answers` allows, by default nothing."""
    answers = answers or Answers(can=NOBODY)
    heard = answers.heard
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(TIMEOUT)) as http,
        Client(
            streamable_http_client(url, http_client=http),
            mode=MODE[era],
            cache=None,
            read_timeout_seconds=TIMEOUT,
            logging_callback=heard.on_log,
            message_handler=heard.on_message,
            log_level=log_level if era == "modern" else None,
            **answers.callbacks(),
        ) as client,
    ):
        yield client, heard


async def call(client: Client, tool: str, arguments: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    """One tool call, and its result as it stands on the wire."""
    params = t.CallToolRequestParams.model_validate({"name": tool, "arguments": arguments, "_meta": meta or None})
    return (await client.session.send_request(t.CallToolRequest(params=params), Raw)).model_dump()


def text(result: Any) -> str:
    """The first text of a result, in wire form or as a model."""
    return str(result["content"][0]["text"] if isinstance(result, dict) else result.content[0].text)


def refusal(result: dict[str, Any]) -> dict[str, Any]:
    """What the gateway says of a call it refused; fails when it was not refused."""
    assert result.get("isError") is True, result
    told: dict[str, Any] = result["_meta"]["toolgate/refusal"]
    return told


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait until a condition holds; fail when it does not within the bound."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"did not come about within {seconds:g} seconds"
        await asyncio.sleep(0.01)
