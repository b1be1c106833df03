"""How the tool servers do, as this replica sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.call import Control
from gateway.catalog import Catalog
from gateway.controls.breaker import Breaker
from gateway.controls.bulkhead import Bulkhead
from gateway.times import moment
from gateway.upstream import Upstream


class Withheld(Protocol):
    def withheld(self, server: str) -> Mapping[str, str]:
        """Tools that are listed and not offered, and why."""


@dataclass(frozen=True, slots=True)
class Health:
    """One server now. `breaker` is closed, open or half-open; `failed` is what went wrong last and when (seconds since
    the epoch), None when nothing did since the gateway started.
    """

    server: str
    up: bool
    era: str | None
    breaker: str
    in_flight: int
    most: int
    tools: tuple[str, ...]
    withheld: Mapping[str, str]
    resources: int
    prompts: int
    restarts: int
    failed: tuple[float, str] | None

    @property
    def well(self) -> bool:
        return self.up and self.breaker == "closed" and not self.withheld


class Upstreams:
    """Looks at the parts that know."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], catalog: Catalog, withheld: Withheld, controls: Sequence[Control]
    ) -> None:
        self._upstreams = upstreams
        self._catalog = catalog
        self._withheld = withheld
        self._breaker = next(each for each in controls if isinstance(each, Breaker))
        self._bulkhead = next(each for each in controls if isinstance(each, Bulkhead))

    def health(self) -> list[Health]:
        """All servers, in configuration order."""
        return [self._of(name, upstream) for name, upstream in self._upstreams.items()]

    def _of(self, name: str, upstream: Upstream) -> Health:
        offer, circuit = self._catalog.offer(name), self._breaker.circuits.get(name)
        assert offer is not None
        return Health(
            server=name,
            up=upstream.up,
            era=upstream.era,
            breaker="closed" if circuit is None else circuit.state,
            in_flight=self._bulkhead.inside.get(name, 0),
            most=self._bulkhead.limit(name),
            tools=tuple(offer.tools),
            withheld=self._withheld.withheld(name),
            resources=len(offer.resources) + len(offer.templates),
            prompts=len(offer.prompts),
            restarts=upstream.restarts,
            failed=upstream.failure,
        )


def health_json(health: Health) -> dict[str, Any]:
    """A server as the API tells it."""
    failed = health.failed
    return {
        "server": health.server,
        "up": health.up,
        "era": health.era,
        "breaker": health.breaker,
        "in_flight": health.in_flight,
        "max_in_flight": health.most,
        "tools": list(health.tools),
        "withheld": dict(health.withheld),
        "resources": health.resources,
        "prompts": health.prompts,
        "restarts": health.restarts,
        "failed": None if failed is None else {"at": moment(failed[0]), "what": failed[1]},
    }
