"""A task given to the Claude Agent SDK; prints what it answers. Run by a Python that has `claude_agent_sdk`.

Arguments: the gateway's URL, its token, the task.
"""

from __future__ import annotations

import sys

import anyio


async def main(url: str, token: str, task: str) -> None:
    from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, query

    gateway = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}, "alwaysLoad": True}
    options = ClaudeAgentOptions(
        mcp_servers={"gateway": gateway},
        allowed_tools=["mcp__gateway"],
        strict_mcp_config=True,
        setting_sources=[],
        tools=[],
    )
    async for message in query(prompt=task, options=options):
        if isinstance(message, ResultMessage):
            print(message.result)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
