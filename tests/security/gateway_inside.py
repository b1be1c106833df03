"""A gateway inside the test's own process, on a port: spoken to like any other, and its insides can be looked at."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from processes import free_port
from raw_client import Legacy, Modern, pool

from gateway.app import Gateway
from gateway.config import load

MODEL = Path(__file__).parents[2] / "policies/model.conf"
ALL = 'description = "Does what it likes."\n[[allow]]\ntool = "*/*"\n[[allow]]\nresource = "*/*"\n'


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: those are the test runner's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class Inside:
    """`gateway`, and clients of its one face `/mcp/shop`, whose upstream is down."""

    gateway: Gateway
    url: str
    session: aiohttp.ClientSession

    def headers(self, agent: str) -> dict[str, str]:
        token, _ = self.gateway.tokens.create(agent, expires=None, now=0.0)
        return {"Authorization": f"Bearer {token}"}

    def modern(self, agent: str) -> Modern:
        return Modern(self.session, self.url, self.headers(agent))

    def legacy(self, agent: str) -> Legacy:
        return Legacy(self.session, self.url, self.headers(agent))

    def legacy_face(self) -> Any:
        """The legacy side of the face; there once its first client came."""
        return self.gateway.door.sessions._faces["shop"]


@asynccontextmanager
async def inside(folder: Path, agents: Sequence[str], config: str = "") -> AsyncIterator[Inside]:
    """A gateway with one server, `shop`, where each of `agents` may do anything; `config` is more of its TOML."""
    (folder / "policies").mkdir()
    shutil.copy(MODEL, folder / "policies")
    for agent in agents:
        (folder / f"policies/{agent}.toml").write_text(f'agent = "{agent}"\n{ALL}')
    server = f'[servers.shop]\nurl = "http://127.0.0.1:{free_port()}/mcp"\nera = "modern"\n'
    (folder / "gateway.toml").write_text(config + server)
    gateway = Gateway(load(folder / "gateway.toml", {}))
    listener = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(gateway, lifespan="off", log_level="critical", timeout_graceful_shutdown=0)
    async with gateway.running(), pool() as session:
        serving = _Server(settings)
        task = asyncio.create_task(serving.serve(sockets=[listener]))
        try:
            yield Inside(gateway, f"http://127.0.0.1:{listener.getsockname()[1]}/mcp/shop", session)
        finally:
            serving.should_exit = True
            await task
