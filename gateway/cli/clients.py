"""Ready configuration of MCP clients for one token."""

from __future__ import annotations

import ipaddress
import json
import re

from gateway.config import Config

_PYTHON = """\
import anyio
from mcp import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

async def main() -> None:
    http = create_mcp_http_client(headers={{"Authorization": "Bearer {token}"}})
    async with http, Client(streamable_http_client("{url}", http_client=http)) as gateway:
        print([tool.name for tool in (await gateway.list_tools()).tools])

anyio.run(main)
"""


def address(config: Config) -> str:
    """The URL clients use: the configured address, or the first allowed host where that is a wildcard."""
    host, port = config.gateway.host, str(config.gateway.port)
    if _is_wildcard(host) and (match := re.fullmatch(r"(.+?)(?::(\*|\d+))?", config.gateway.allowed_hosts[0])):
        name, named = match.groups()
        return f"http://{name}{'' if named is None else ':' + (port if named == '*' else named)}/mcp"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp"


def instructions(token: str, url: str) -> str:
    """How Claude Code, any client with an `mcpServers` file and a Python program reach the gateway."""
    entry = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}}
    return "\n".join(
        (
            "Claude Code:",
            f'claude mcp add --transport http toolgate {url} --header "Authorization: Bearer {token}"',
            "",
            "Any client with an mcpServers file:",
            json.dumps({"mcpServers": {"toolgate": entry}}, indent=2),
            "",
            "Python:",
            _PYTHON.format(token=token, url=url),
        )
    )


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""
