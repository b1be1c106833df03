"""Several gateways on one database, each with a folder of its own, and clients that go to another when one is gone."""

from __future__ import annotations

import itertools
import random
import shutil
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from gateway_process import GatewayProcess
from raw_client import Modern, Reply

from gateway.config import load
from gateway.replicas import Replica, listed
from gateway.secret import secret_key
from gateway.state import State

NAMES = ("one", "two", "three")


class Fleet:
    """Replicas `names` on the database at `url`. They share `secret.key` and policies, as copies."""

    def __init__(
        self,
        folder: Path,
        url: str,
        servers: str,
        policies: Mapping[str, str],
        names: tuple[str, ...] = NAMES,
        settings: str = "",
    ) -> None:
        self.gateways = [self._gateway(folder / name, url, servers, policies, settings) for name in names]
        key = folder / names[0] / "var" / "secret.key"
        secret_key(key.parent)
        for gateway in self.gateways[1:]:
            (gateway.config.parent / "var").mkdir(mode=0o700)
            shutil.copy(key, gateway.config.parent / "var" / "secret.key")

    def _gateway(
        self, folder: Path, url: str, servers: str, policies: Mapping[str, str], settings: str
    ) -> GatewayProcess:
        folder.mkdir()
        told = f'database = "{url}"\nreplica = "{folder.name}"\n{settings}'
        gateway = GatewayProcess(folder, servers, policies, settings=told)
        here = f'port = {gateway.port}\naddress = "http://127.0.0.1:{gateway.port}"\n'
        gateway.config.write_text(gateway.config.read_text().replace(f"port = {gateway.port}\n", here))
        return gateway

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor() as threads:
                list(threads.map(GatewayProcess.start, self.gateways))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for gateway in self.gateways:
            with suppress(RuntimeError):  # it was never started
                gateway.kill()

    def __getitem__(self, place: int) -> GatewayProcess:
        return self.gateways[place]

    def headers(self, agent: str) -> dict[str, str]:
        return self.gateways[0].headers(agent)

    def beside(self) -> State:
        """Their state, opened beside them as the CLI does."""
        return State(load(self.gateways[0].config, {}))

    def roll(self) -> dict[str, Replica]:
        """The replicas by name; of several of one name the latest."""
        state = self.beside()
        try:
            return {each.name: each for each in listed(state.store)}
        finally:
            state.close()

    def on_duty(self) -> str | None:
        return next((each.name for each in self.roll().values() if each.duty), None)

    def named(self, name: str) -> GatewayProcess:
        return next(each for each in self.gateways if each.config.parent.name == name)

    def client(self, session: aiohttp.ClientSession, agent: str) -> Balanced:
        headers = self.headers(agent)
        return Balanced([Modern(session, each.url(), headers) for each in self.gateways])


class Balanced:
    """One agent behind a balancer without affinity: each request goes to the next replica."""

    def __init__(self, agents: list[Modern]) -> None:
        self.agents = agents
        self._turns = itertools.count(random.randrange(len(agents)))

    async def call(self, tool: str, arguments: Mapping[str, Any], **meta: Any) -> Reply:
        agent = self.agents[next(self._turns) % len(self.agents)]
        return await agent.call(tool, arguments, **meta)


def metric(gateway: GatewayProcess, sample: str) -> float:
    """The value of a sample, named with its labels as it is exposed."""
    with urllib.request.urlopen(gateway.url("/metrics"), timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))
