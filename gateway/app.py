"""The gateway put together, and served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from functools import partial
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from gateway import hints, order
from gateway.admin.site import Admin
from gateway.aside import aside, end
from gateway.breakers import Breakers
from gateway.bridge import Bridge, Seal
from gateway.call import OWN
from gateway.candidate import build, changes, signature
from gateway.catalog import Catalog
from gateway.config import Config
from gateway.controls.throttle import Throttle
from gateway.credentials import Credentials, secret_values
from gateway.errors import Unrecorded
from gateway.evidence.keeping import Evidence
from gateway.gauges import Gauges
from gateway.identity import Tokens
from gateway.mcp_face.audience import Audience
from gateway.mcp_face.door import PATH, Door, Visitors
from gateway.mcp_face.forwarding import Forwarding
from gateway.mcp_face.listen import Listen
from gateway.mcp_face.lists import Lists
from gateway.mcp_face.modern import Modern
from gateway.mcp_face.parking import Parking
from gateway.mcp_face.relay import Relay
from gateway.mcp_face.served import Served
from gateway.mcp_face.sessions import Sessions
from gateway.mcp_face.tasks import Tasks
from gateway.mcp_face.waiting import Waiting
from gateway.mcp_face.watch import Watch
from gateway.metrics import Metrics
from gateway.own import OwnTools
from gateway.own.await_approval import await_approval
from gateway.own.escalate import escalate
from gateway.own.mark_run import mark_run
from gateway.own.rollback import rollback
from gateway.pins import Pins
from gateway.policy import Policy
from gateway.probes import probes
from gateway.registration import Registration
from gateway.reload import Reload
from gateway.replicas import Replicas, address_of
from gateway.rules.kept import Kept
from gateway.rules.secrets import Secrets
from gateway.runs.undoing import Undoing
from gateway.state import State
from gateway.traces import traces
from gateway.unknown_names import UnknownNames
from gateway.upstream import Observed, Upstream

log = logging.getLogger("toolgate")

_REFRESH = 0.5
_SETTLE = 5.0
"""Seconds after which an upstream that is slow to answer no longer keeps the gateway from being ready."""


class Gateway:
    """Everything one process runs. Raises ConfigError when config and policies do not fit together."""

    def __init__(self, config: Config) -> None:
        self.config = config
        seen = signature(config.policies_dir)
        self.policy = build(config, {})
        self.metrics = Metrics(config.servers)
        self.secrets = Secrets.of(secret_values(config.servers.values()))
        name = config.gateway.replica or socket.gethostname()
        self.traces = traces(config.traces, name)
        kept = Kept(config.audit.results, self.secrets, config.gateway.max_result)
        self.state = State(config, self.metrics.committed, chain=name, shown=kept)
        self.metrics.read_only_for(each.agent for each in self.state.modes.listed())
        self.store, self.audit = self.state.store, self.state.audit
        self.tokens = Tokens(self.store)
        self.tokens.agents = self.policy.agents
        self.catalog = Catalog([*config.servers, OWN])
        self.audience = Audience()
        self.replicas = self._replicas(name)
        self.evidence = Evidence(config, self.state, self.metrics, name, self.replicas.on_duty)
        self.breakers = Breakers(self.store, self.state.owner)
        self.undoing = self._undoing(config)
        self.own = self._own_tools()
        self.catalog.put(self.own.offer())
        self.pins = Pins(self.store)
        self.registration = registration = Registration(
            config, lambda: self.policy, self.catalog, self.audience, self.metrics, self.pins, self.secrets
        )
        self.upstreams = {
            name: Upstream(server, on_listing=registration.listed, on_notice=registration.noticed)
            for name, server in config.servers.items()
        }
        offered = registration.offered
        self.names = UnknownNames(lambda: self.policy, offered, config.servers, self.metrics)
        failed, folder = self.audit.not_reloaded, config.policies_dir
        self.reload = Reload(folder, seen, lambda: build(config, offered()), self._adopt, failed, self.metrics)
        self.watch = Watch(self.audience, self.upstreams)
        self.settled = False
        self._hint = asyncio.Event()
        self.parking = Parking(config.gateway.ask_timeout, self.state.owner)
        self.door = self._door()
        state, catalog = self.state, self.catalog
        state.reviewers.agents = self.policy.agents
        self.admin = Admin(config, state, catalog, lambda: self.policy, self.upstreams, registration, self.controls)
        watching = probes(self.store, self.upstreams, lambda: self.settled or self._all_tried(), self.metrics)
        self.site = Starlette(routes=[*self.admin.routes(), *watching])

    def _replicas(self, name: str) -> Replicas:
        address, ledger = self.config.gateway.address, self.state.ledger
        return Replicas(self.store, ledger, self.metrics, lambda: self.policy.digest, name, address)

    def _undoing(self, config: Config) -> Undoing:
        approvals, modes, digest = self.state.approvals, self.state.modes, lambda: self.policy.digest
        runs, tool = self.state.runs, self.catalog.tool
        on_duty = self.replicas.on_duty
        return Undoing(runs, approvals, config.runs, self.metrics, tool, digest, modes.read_only, on_duty)

    def _own_tools(self) -> OwnTools:
        approvals, runs, undoing = self.state.approvals, self.state.runs, self.undoing
        waits = [await_approval(approvals), escalate(approvals, lambda: self.policy)]
        return OwnTools([*waits, rollback(runs, undoing), mark_run(runs, undoing)])

    def _door(self) -> Door:
        config, state = self.config, self.state
        throttle = Throttle(
            config.throttle.per_second, config.throttle.burst, rate=lambda agent: self.policy.ceilings(agent).rate
        )
        parts = order.Parts(
            config,
            lambda: self.policy,
            self.audit,
            Credentials.of_config(config.servers.values()),
            self.metrics,
            throttle,
            self.secrets,
            state.approvals,
            state.ledger,
            state.modes,
            self.breakers,
        )
        observed = {name: self._observed(upstream) for name, upstream in self.upstreams.items()}
        bridge = Bridge(observed, Seal(state.derive("seal")), self.own)
        lists = Lists(self.catalog, lambda: self.policy, config.gateway.page_size)
        self.controls = controls = order.controls(parts)
        self.inner = order.chain(order.inner(controls), bridge.send)
        chain = order.chain(controls, bridge.send)
        self.waiting = Waiting(chain, state.approvals, config.approvals, self.catalog, self.tokens.valid)
        served = Served(self.metrics.served, self.traces)
        relay = Relay(self.catalog, lists, self.waiting, throttle.admit, served)
        max_body, patience = config.gateway.max_body, config.gateway.ask_timeout
        self.tasks = Tasks(relay, self.waiting, patience)
        listen = Listen(self.audience, lists, self.watch, self.tasks)

        def legacy(module: ModuleType, face: str | None) -> Any:
            audience, watch = self.audience, self.watch
            return module.Legacy(face, relay, self.catalog, audience, watch, max_body=max_body, patience=patience)

        def find(owner: str | None, task: str | None) -> Awaitable[str | None]:
            return self.store.look(partial(address_of, self.store, state.owner, owner, task))

        forwarding = Forwarding(state.owner, find) if config.shared else None
        modern = Modern(relay, self.catalog, self.parking, listen, self.tasks, max_body, forwarding)
        visitors = Visitors.of(config.gateway.hosts, config.gateway.allowed_origins)
        return Door(visitors, self.tokens, lambda: self.policy, modern, Sessions(legacy), config.servers)

    def _observed(self, upstream: Upstream) -> Observed:
        transport = "tcp" if self.config.server(upstream.name).url is not None else "pipe"
        return Observed(upstream, transport, self.metrics.sent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and (path == PATH or path.startswith(PATH + "/")):
            await self.door(scope, receive, send)
        else:
            await self.site(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect the upstreams and keep everything going; on the way out nothing is left behind.

        Raises ConfigError when another gateway works with the state folder, or under this replica's name.
        """
        with self.replicas.joined():
            async with self._working():
                yield

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        self.store.start()
        loop = asyncio.get_running_loop()
        work: list[Coroutine[Any, Any, None]] = [upstream.run() for upstream in self.upstreams.values()]
        work += [self.registration.run(), self._follow_policy(), self.undoing.run(self.inner), self._refresh()]
        on_duty, unknown = self.replicas.on_duty, self.metrics.unknown_outcomes.set
        work += [self.state.approvals.run(self.metrics, on_duty), self.state.ledger.run(unknown, on_duty)]
        work += [self.admin.run(), self._evict(), self.breakers.run(), self.evidence.run()]
        work.append(hints.follow(self.store, self._hinted))
        work.append(Gauges(self.store, self.metrics, lambda: self.policy).run())
        beating = loop.create_task(self.replicas.run())
        tasks = [loop.create_task(coroutine) for coroutine in work]
        try:
            yield
        finally:
            await self.door.sessions.close()
            await self.parking.close()
            await self.tasks.close()
            await self.undoing.close()
            await end(tasks)
            await self.state.ledger.close()
            await self.evidence.close()
            await self.replicas.leave()
            await end([beating])
            self.tokens.close()
            self.pins.close()
            self.state.close()
            self.traces.close()

    def leave(self) -> None:
        """The gateway is told to stop: what is held open for long is answered, or ends."""
        self.waiting.close()
        self.admin.close()

    async def _refresh(self) -> None:
        started = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH):
                    await self._hint.wait()
            self._hint.clear()
            try:
                await aside(self.tokens.refresh_if_changed)
                self.door.evict(self.tokens.valid)
                await self._follow_modes()
                await self.registration.refresh()
                if self.settled:
                    await self.names.look(self.registration.changes)
            except Exception:  # whatever it is: were this task to end, revoked tokens would stay in force
                log.exception("tokens and pins could not be looked at again")
            self.settled = self.settled or self._all_tried() or time.monotonic() - started > _SETTLE

    def _hinted(self, topic: str) -> None:
        if topic == "tickets":
            self.state.approvals.hinted()
        else:
            self._hint.set()

    async def _evict(self) -> None:
        """Tokens run out, also while the database does not answer and nothing can be looked at."""
        while True:
            await asyncio.sleep(_REFRESH)
            self.door.evict(self.tokens.valid)

    async def _follow_modes(self) -> None:
        if await aside(self.state.modes.refresh_if_changed):
            agents = [each.agent for each in self.state.modes.listed()]
            self.metrics.read_only_for(agents)
            names = ", ".join(agent or "the whole gateway" for agent in agents)
            log.warning("read-only mode is on for %s", names or "nobody")

    def _all_tried(self) -> bool:
        tried = all(upstream.ready.is_set() for upstream in self.upstreams.values())
        return tried and not self.registration.busy

    async def _follow_policy(self) -> None:
        """Record which policy is in force, then follow its changes."""
        while True:
            try:
                await self.evidence.started(self.policy.digest)
                await self.audit.policy(self.policy.digest, None)
                break
            except Unrecorded:
                await asyncio.sleep(_REFRESH)
        await self.reload.run()

    async def _adopt(self, policy: Policy) -> bool:
        """Put a policy in force, whole, and tell those whose rules it changes; False when it is the one in force."""
        before = self.policy
        if policy.digest == before.digest:
            return False
        changed = await aside(partial(changes, before, policy))
        await self.audit.policy(policy.digest, before.digest)
        self.policy = policy
        self.tokens.agents = self.state.reviewers.agents = policy.agents
        self.door.evict(self.tokens.valid)
        self.audience.narrow(lambda agent, server, uri: policy.visible(agent, server, uri, "read"))
        self.audience.rights_changed(changed)
        await self.watch()
        return True
