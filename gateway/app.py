"""The gateway put together, and served."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway import order
from gateway.audit import Audit
from gateway.bridge import Bridge, Seal
from gateway.catalog import Catalog, Offer, compile_tools
from gateway.config import Config, check_agents
from gateway.controls.throttle import Throttle
from gateway.credentials import Credentials, secret_values
from gateway.errors import ConfigError
from gateway.identity import Tokens, secret_key
from gateway.mcp_face.audience import UPDATED, Audience
from gateway.mcp_face.door import PATH, Door, Visitors
from gateway.mcp_face.listen import Listen
from gateway.mcp_face.lists import Lists
from gateway.mcp_face.modern import Modern
from gateway.mcp_face.parking import Parking
from gateway.mcp_face.relay import Relay
from gateway.mcp_face.sessions import Sessions
from gateway.mcp_face.watch import Watch
from gateway.metrics import Metrics
from gateway.policy import load as load_policy
from gateway.rules.published import publishable
from gateway.rules.secrets import Secrets
from gateway.store import Store
from gateway.upstream import Listing, Upstream

log = logging.getLogger("toolgate")

_REFRESH = 0.5
_SETTLE = 5.0
"""Seconds after which an upstream that is slow to answer no longer keeps the gateway from being ready."""
_FAREWELL = 1.0
"""Seconds that upstreams then have; a process that takes longer is killed."""


class Gateway:
    """Everything one process runs. Raises ConfigError when config and policies do not fit together."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.policy = load_policy(config.policies_dir, config.servers)
        if problems := check_agents(config, self.policy.agents):
            raise ConfigError(problems)
        self.metrics = Metrics(config.servers)
        self.secrets = Secrets.of(secret_values(config.servers.values()))
        secret = secret_key(config.state_dir)
        self.store = Store(config.state_dir / "toolgate.db", self.metrics.committed)
        self.audit = Audit(self.store, _derive(secret, "audit"))
        self.tokens = Tokens(self.store)
        self.tokens.agents = self.policy.agents
        self.catalog = Catalog(config.servers)
        self.audience = Audience()
        self.upstreams = {
            name: Upstream(server, on_listing=self._listed, on_notice=self._noticed)
            for name, server in config.servers.items()
        }
        self.watch = Watch(self.audience, self.upstreams)
        self.settled = False
        self.parking = Parking(config.gateway.ask_timeout)
        self.door = self._door(secret)
        self.site = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
            ]
        )

    def _door(self, secret: bytes) -> Door:
        config = self.config
        throttle = Throttle(config.throttle.per_second, config.throttle.burst)
        parts = order.Parts(
            config,
            lambda: self.policy,
            self.audit,
            Credentials.of_config(config.servers.values()),
            self.metrics,
            throttle,
            self.secrets,
        )
        bridge = Bridge(self.upstreams, Seal(_derive(secret, "seal")))
        lists = Lists(self.catalog, lambda: self.policy, config.gateway.page_size)
        relay = Relay(self.catalog, lists, order.chain(order.controls(parts), bridge.send), throttle.admit)
        max_body, patience = config.gateway.max_body, config.gateway.ask_timeout
        listen = Listen(self.audience, lists, self.watch)

        def legacy(module: ModuleType, face: str | None) -> Any:
            audience, watch = self.audience, self.watch
            return module.Legacy(face, relay, self.catalog, audience, watch, max_body=max_body, patience=patience)

        modern = Modern(relay, self.catalog, self.parking, listen, max_body)
        visitors = Visitors.of(config.gateway.allowed_hosts, config.gateway.allowed_origins)
        return Door(visitors, self.tokens, lambda: self.policy, modern, Sessions(legacy), config.servers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and (path == PATH or path.startswith(PATH + "/")):
            await self.door(scope, receive, send)
        else:
            await self.site(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect the upstreams and keep everything going; on the way out nothing is left behind."""
        if lost := self.audit.unfinished():
            log.warning(
                "%d calls have no outcome: whether they ran is not known; the last is call %s", len(lost), lost[-1]
            )
        self.store.start()
        loop = asyncio.get_running_loop()
        work: list[Coroutine[Any, Any, None]] = [upstream.run() for upstream in self.upstreams.values()]
        tasks = [loop.create_task(coroutine) for coroutine in (*work, self._refresh())]
        try:
            yield
        finally:
            await self.door.sessions.close()
            await self.parking.close()
            await _end(tasks)
            self.tokens.close()
            self.store.stop()

    async def _refresh(self) -> None:
        started = time.monotonic()
        while True:
            await asyncio.sleep(_REFRESH)
            try:
                self.tokens.refresh_if_changed()
                self.door.evict(self.tokens.valid)
            except Exception:  # whatever it is: were this task to end, revoked tokens would stay in force
                log.exception("tokens could not be looked at again")
            self.settled = self.settled or self._all_tried() or time.monotonic() - started > _SETTLE

    def _all_tried(self) -> bool:
        return all(upstream.ready.is_set() for upstream in self.upstreams.values())

    def _listed(self, upstream: Upstream) -> None:
        """Take over what an upstream offers now, and tell those whom it concerns what changed."""
        name, before = upstream.name, self.catalog.offer(upstream.name)
        assert before is not None
        after = self._offer(upstream, upstream.listing) if upstream.up else replace(before, up=False)
        self.metrics.upstream_up.labels(name).set(upstream.up)
        self.metrics.tools.labels(name).set(len(after.tools))
        kinds = _changed(before, after)
        if before.up != after.up:
            log.log(logging.INFO if after.up else logging.WARNING, "%s is %s", name, "up" if after.up else "down")
        self.catalog.put(after)
        if kinds:
            self.audience.lists_changed(name, kinds, lambda agent: self.policy.reaches(agent, name))

    def _offer(self, upstream: Upstream, listing: Listing) -> Offer:
        name, server = upstream.name, self.config.servers[upstream.name]
        return Offer(
            name,
            True,
            upstream.era,
            next(iter(self._published(name, [upstream.hello])), {}),
            compile_tools(name, self._published(name, listing.tools, "name"), server.facts),
            self._published(name, listing.resources, "uri"),
            self._published(name, listing.templates, "uriTemplate"),
            self._published(name, listing.prompts, "name"),
        )

    def _published(
        self, server: str, entries: Sequence[Mapping[str, Any]], key: str | None = None
    ) -> tuple[Mapping[str, Any], ...]:
        """What may be told of `entries`, each named by its field `key`."""
        clean = [publishable(entry, self.secrets, key) for entry in entries]
        for finding, found in (
            ("withheld", sum(new is None for new in clean)),
            ("masked", sum(new is not None and new is not old for new, old in zip(clean, entries, strict=True))),
        ):
            if found:
                log.warning("%s: %d of the things it publishes had a secret in them: %s", server, found, finding)
                self.metrics.guard.labels(server, "-", finding).inc(found)
        return tuple(entry for entry in clean if entry is not None)

    def _noticed(self, upstream: Upstream, method: str, params: dict[str, Any]) -> None:
        uri = params.get("uri")
        if method != UPDATED or not isinstance(uri, str):
            return
        if not isinstance(params.get("_meta", {}), dict) or publishable(params, self.secrets) is not params:
            params = {"uri": uri}
        self.audience.resource_updated(upstream.name, uri, params)

    async def _healthz(self, request: Request) -> Response:
        ok = self.store.failed is None
        return JSONResponse({"ok": ok, "store": "ok" if ok else "failed"}, 200 if ok else 503)

    async def _readyz(self, request: Request) -> Response:
        ok = self.store.failed is None and (self.settled or self._all_tried())
        states = {name: "up" if upstream.up else "down" for name, upstream in self.upstreams.items()}
        return JSONResponse({"ok": ok, "upstreams": states}, 200 if ok else 503)

    async def _metrics(self, request: Request) -> Response:
        return Response(self.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait; those that take their time to tidy up are cancelled again, which is final."""
    for _ in range(2):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_FAREWELL)


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()


def _changed(before: Offer, after: Offer) -> frozenset[str]:
    """The kinds of list that differ between two offers, as a client would see them."""
    pairs = {
        "tools": [[tool.definition for tool in offer.tools.values()] for offer in (before, after)],
        "resources": [[*offer.resources, *offer.templates] for offer in (before, after)],
        "prompts": [[*offer.prompts] for offer in (before, after)],
    }
    return frozenset(
        kind for kind, (old, new) in pairs.items() if (old if before.up else []) != (new if after.up else [])
    )
