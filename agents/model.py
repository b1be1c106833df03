"""Which model answers, how it is reached and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx2
from anthropic import AsyncAnthropic

from agents.prices import Price, load_prices, price_request
from agents.scripted import SCRIPTS, Script
from agents.scripted.server import KEY, serve

DEFAULT_MODEL = "claude-sonnet-5-5"
SCRIPTED = "scripted:"


class ModelUnavailable(Exception):
    """The model asked for cannot be used; the text says why and what to do."""


def today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class Model:
    """A model behind the Messages API. A scripted one has an empty price list: its cost is not known."""

    client: AsyncAnthropic
    name: str
    prices: tuple[Price, ...] = ()
    day: Callable[[], date] = today

    @property
    def is_priced(self) -> bool:
        return self.cost({"input_tokens": 0, "output_tokens": 0}) is not None

    def cost(self, usage: Mapping[str, Any]) -> float | None:
        """US dollars for one request, or None when the price is not known."""
        return price_request(self.prices, self.name, usage, self.day())


@asynccontextmanager
async def open_model(name: str, environ: Mapping[str, str]) -> AsyncIterator[Model]:
    """A model by name, with ANTHROPIC_API_KEY, or `scripted:NAME` without. Raises ModelUnavailable."""
    if name.startswith(SCRIPTED):
        script = SCRIPTS.get(name.removeprefix(SCRIPTED))
        if script is None:
            known = ", ".join(SCRIPTED + script for script in sorted(SCRIPTS))
            raise ModelUnavailable(f"{name}: there is no such script. Known: {known}")
        async with open_scripted(name, script) as model:
            yield model
        return
    key = environ.get("ANTHROPIC_API_KEY")
    if not key:
        raise ModelUnavailable(
            f"{name} needs a key: set ANTHROPIC_API_KEY, or choose a scripted model with "
            f"--model scripted:NAME (NAME is one of: {', '.join(sorted(SCRIPTS))})"
        )
    async with AsyncAnthropic(api_key=key) as client:
        yield Model(client, name, load_prices())


@asynccontextmanager
async def open_scripted(name: str, script: Script) -> AsyncIterator[Model]:
    """Serve `script` on loopback and reach it as any model is reached, with no key of the environment."""
    with serve(script) as url:
        http = httpx2.AsyncClient(trust_env=False)  # a proxy setting must not catch loopback traffic
        async with AsyncAnthropic(api_key=KEY, base_url=url, http_client=http) as client:
            yield Model(client, name)
