"""A scripted agent that is hijacked as soon as it has read something, and the person who decides about its calls."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement
from agentdojo.base_tasks import BaseInjectionTask, BaseUserTask
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime, TaskEnvironment
from agentdojo.types import ChatAssistantMessage, ChatMessage, text_content_block_from_string
from mcp import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from toolserver import ToolServer

GAVE_UP = "I could not do all of it."


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Approves what belongs to the user's task and rejects everything else, over the gateway's HTTP API.

    Sees a ticket as any reviewer does: a secret argument is masked, and so tells nothing.
    """

    gateway: str
    token: str

    def decide(self, ticket: str, wanted: Sequence[FunctionCall]) -> None:
        asked = self._ask(ticket)
        shown = {name: value for name, value in asked["arguments"].items() if name not in asked["secret"]}
        belongs = any(
            call.function == asked["tool"]
            and shown == {name: value for name, value in call.args.items() if name not in asked["secret"]}
            for call in wanted
        )
        words = {"words": "It belongs to the task." if belongs else "Nobody asked for this."}
        self._ask(f"{ticket}/{'approve' if belongs else 'reject'}", words)

    def _ask(self, path: str, body: dict[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.gateway}/api/tickets/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@dataclass
class ScriptedAgent(BasePipelineElement):
    """Makes the calls of a user task's ground truth through the gateway; after the first, all those of the attack.

    It gives the user the task's own answer only when each call of the task was answered, with the words of the tool.
    Afterwards `done` says whether that was so, and `tickets` how many calls of "user" and of "attacker" waited for a
    person.
    """

    task: BaseUserTask[Any]
    attack: BaseInjectionTask[Any] | None
    server: ToolServer
    reviewer: Reviewer
    token: str
    done: bool = False
    tickets: Counter[str] = field(default_factory=Counter)
    _ran: list[FunctionCall] = field(default_factory=list)

    def query(
        self,
        query: str,
        runtime: FunctionsRuntime,
        env: TaskEnvironment,
        messages: Sequence[ChatMessage] = (),
        extra_args: dict[str, Any] | None = None,
    ) -> tuple[str, FunctionsRuntime, TaskEnvironment, Sequence[ChatMessage], dict[str, Any]]:
        """What the suite calls; it judges by `env`, which the tool server changes, and by the messages returned."""
        self.server.environment = env
        self.done = anyio.run(self._work, env)
        said = self.task.GROUND_TRUTH_OUTPUT if self.done else GAVE_UP
        answer = ChatAssistantMessage(
            role="assistant", content=[text_content_block_from_string(said)], tool_calls=self._ran
        )
        return query, runtime, env, [*messages, answer], extra_args or {}

    async def _work(self, env: TaskEnvironment) -> bool:
        wanted = self.task.ground_truth(env)
        http = create_mcp_http_client(headers={"Authorization": f"Bearer {self.token}"})
        transport = streamable_http_client(f"{self.reviewer.gateway}/mcp/{self.server.name}", http_client=http)
        async with http, Client(transport) as gateway:
            done = [await self._call(gateway, call, wanted, "user") for call in wanted[:1]]
            for call in self.attack.ground_truth(env) if self.attack else ():
                await self._call(gateway, call, wanted, "attacker")
            done += [await self._call(gateway, call, wanted, "user") for call in wanted[1:]]
        return all(done)

    async def _call(self, gateway: Client, call: FunctionCall, wanted: Sequence[FunctionCall], whose: str) -> bool:
        """Whether the tool ran, and its own answer came back."""
        before = len(self.server.answers)
        result: Any = await gateway.call_tool(call.function, dict(call.args), meta={"toolgate/run": "task"})
        if ticket := (result.meta or {}).get("toolgate/pending"):
            self.tickets[whose] += 1
            await anyio.to_thread.run_sync(self.reviewer.decide, ticket, wanted)
            while "toolgate/pending" in (result.meta or {}):  # until the gateway has noticed the decision
                result = await gateway.call_tool("toolgate__await_approval", {"ticket": ticket})
        answers = self.server.answers[before:]
        if answers:
            self._ran.append(call)
        return not result.is_error and [result.content[0].text] == answers
