"""API and console put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.routing import Route

from gateway.admin.api import Api
from gateway.admin.console import Console
from gateway.admin.deciding import Deciding
from gateway.admin.entrance import Entrance
from gateway.admin.insight import Insight, Looks
from gateway.admin.pages import Views
from gateway.admin.render import Pages
from gateway.admin.sessions import Sessions
from gateway.admin.streams import Streams
from gateway.admin.upstreams import Upstreams, Withheld
from gateway.call import Control
from gateway.catalog import Catalog
from gateway.config import Config
from gateway.mcp_face.door import Visitors
from gateway.policy import Policy
from gateway.state import State
from gateway.upstream import Upstream


class Admin:
    """What reviewers see and do over HTTP. `run` has to run while it is served."""

    def __init__(
        self,
        config: Config,
        state: State,
        catalog: Catalog,
        policy: Callable[[], Policy],
        upstreams: Mapping[str, Upstream],
        withheld: Withheld,
        controls: Sequence[Control],
    ) -> None:
        visitors = Visitors.of(config.gateway.allowed_hosts, config.gateway.allowed_origins)
        entrance = Entrance(visitors, state.reviewers)
        deciding = Deciding(state.store, state.approvals, catalog, policy)
        self._streams = Streams(state.approvals, state.reviewers)
        health = Upstreams(upstreams, catalog, withheld, controls)
        insight, pages = Insight(state.store, policy, catalog, health), Pages()
        views = Views(pages, state.approvals, state.ledger, state.audit)
        sessions = Sessions(state.store, state.reviewers)
        self._api = Api(entrance, deciding, self._streams, insight)
        self._console = Console(entrance, sessions, deciding, self._streams, views, Looks(pages, insight))

    def routes(self) -> list[Route]:
        return [*self._api.routes(), *self._console.routes()]

    async def run(self) -> None:
        """End what is open of reviewers whose token is void, for ever."""
        await self._streams.run()

    def close(self) -> None:
        """The gateway ends: no stream keeps it."""
        self._streams.close()
