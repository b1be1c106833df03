"""A suite's tools as an MCP server over HTTP, working on whichever environment it was given last."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mcp.types as t
import uvicorn
from agentdojo.agent_pipeline.tool_execution import tool_result_to_str
from agentdojo.functions_runtime import FunctionsRuntime, TaskEnvironment
from agentdojo.task_suite.task_suite import TaskSuite
from mcp.server import Server


class ToolServer:
    """The server named like the suite, at `url` inside the `with` block of `serving`.

    `environment` is what its tools read and change. `answers` are the texts that its tools gave, oldest first: what an
    agent should have got.
    """

    def __init__(self, suite: TaskSuite[Any]) -> None:
        self.name = suite.name
        self.environment: TaskEnvironment | None = None
        self.answers: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"
        self._runtime = FunctionsRuntime(suite.tools)

    @contextmanager
    def serving(self) -> Iterator[None]:
        app = Server(self.name, on_list_tools=self._list_tools, on_call_tool=self._call_tool).streamable_http_app()
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [self._socket]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield
        finally:
            server.should_exit = True
            thread.join()

    async def _list_tools(self, ctx: Any, params: Any) -> t.ListToolsResult:
        functions = self._runtime.functions.values()
        return t.ListToolsResult(
            tools=[
                t.Tool(name=each.name, description=each.description, input_schema=each.parameters.model_json_schema())
                for each in functions
            ]
        )

    async def _call_tool(self, ctx: Any, params: t.CallToolRequestParams) -> t.CallToolResult:
        result, error = self._runtime.run_function(self.environment, params.name, params.arguments or {})
        text = error or tool_result_to_str(result)
        self.answers.append(text)
        return t.CallToolResult(content=[t.TextContent(text=text)], is_error=error is not None)
