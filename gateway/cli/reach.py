"""Connecting every server once, for the commands that need to know what is really there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.call import OWN
from gateway.config import Config, Server
from gateway.own import DEFINITIONS
from gateway.upstream import Listing, Upstream


@dataclass(frozen=True, slots=True)
class Finding:
    """What one server offers (tool definitions by name, and its whole listing), or that it cannot be reached."""

    server: str
    ok: bool
    detail: str
    tools: Mapping[str, Mapping[str, Any]]
    listing: Listing = field(default_factory=Listing)


def reach(config: Config) -> list[Finding]:
    """One finding per server, in the order of the configuration, then the gateway itself.

    The findings say it all: the log stays silent.
    """
    logging.getLogger("toolgate").addHandler(logging.NullHandler())
    return [*asyncio.run(_all(config)), Finding(OWN, True, "the gateway's own", DEFINITIONS)]


async def _all(config: Config) -> list[Finding]:
    return list(await asyncio.gather(*(_one(server) for server in config.servers.values())))


async def _one(server: Server) -> Finding:
    upstream = Upstream(server, on_listing=lambda _: None, on_notice=lambda *_: None)
    task = asyncio.create_task(upstream.run())
    try:
        await upstream.ready.wait()
        tools = {str(tool["name"]): tool for tool in upstream.listing.tools}
        detail = f"{upstream.era} era" if upstream.up else "cannot be reached"
        return Finding(server.name, upstream.up, detail, tools, upstream.listing)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
