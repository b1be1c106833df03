"""What upstreams say of themselves, taken over: into the catalog, the pins, the metrics, and to those it concerns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.admission import Admission, Admissions
from gateway.aside import aside
from gateway.catalog import Catalog, Offer, compile_tools
from gateway.config import Config
from gateway.mcp_face.audience import UPDATED, Audience
from gateway.metrics import Metrics
from gateway.pins import Pins
from gateway.policy import Policy
from gateway.publication import Publication
from gateway.rules import compile_rules
from gateway.rules.definitions import findings
from gateway.rules.secrets import Secrets
from gateway.upstream import Listing, Upstream

log = logging.getLogger("toolgate")

_TRY_AGAIN = 1.0
"""Seconds between attempts to record pins that could not be recorded."""
_TOLD = 20
"""Lines a listing may have in the log: its entries may be thousands."""


class Registration:
    """Takes over what upstreams offer. `run` records the pins of what is new, and only then is it offered."""

    def __init__(
        self,
        config: Config,
        policy: Callable[[], Policy],
        catalog: Catalog,
        audience: Audience,
        metrics: Metrics,
        pins: Pins,
        secrets: Secrets,
    ) -> None:
        self._config = config
        self._policy = policy
        self._catalog = catalog
        self._audience = audience
        self._metrics = metrics
        self._pins = pins
        self._admissions = Admissions(pins, config.servers.keys())
        self._publication = Publication(secrets, metrics)
        self._upstreams: dict[str, Upstream] = {}
        self._listings: dict[str, Listing] = {}
        """What each upstream lists, without secrets: that is what is pinned, too."""
        self._hellos: dict[str, Mapping[str, Any]] = {}
        self._withheld: dict[str, Mapping[str, str]] = {}
        self._told: dict[str, frozenset[str]] = {}
        self._wake = asyncio.Event()
        self._recording = self._failing = False
        self.changes = 0
        """Grows with each listing that was taken over."""

    @property
    def busy(self) -> bool:
        """Whether tools that were just seen are about to be offered."""
        return not self._failing and (self._recording or self._wake.is_set())

    def listed(self, upstream: Upstream) -> None:
        """Take over what an upstream offers now, and tell those whom it concerns what changed."""
        name = upstream.name
        self._upstreams[name] = upstream
        self._listings[name] = self._publication.listing(name, upstream.listing)
        self._hellos[name] = self._publication.hello(name, upstream.hello)
        self._take(upstream)

    def noticed(self, upstream: Upstream, method: str, params: dict[str, Any]) -> None:
        uri = params.get("uri")
        if method != UPDATED or not isinstance(uri, str):
            return
        if not isinstance(params.get("_meta", {}), dict) or not self._publication.clean(params):
            params = {"uri": uri}
        self._audience.resource_updated(upstream.name, uri, params)

    def offered(self) -> dict[str, dict[str, Mapping[str, Any]]]:
        """Input schemas of what the servers that are up list, by server and tool; what is withheld is among it."""
        return {
            name: {tool["name"]: tool["inputSchema"] for tool in self._listings[name].tools}
            for name, upstream in [*self._upstreams.items()]
            if upstream.up
        }

    def withheld(self, server: str) -> Mapping[str, str]:
        """The tools that an upstream lists and agents are not offered until somebody accepts them, and why."""
        return self._withheld.get(server, {})

    async def run(self) -> None:
        """Record pins as they are due, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._recording = True
            for upstream in [*self._upstreams.values()]:
                await self._record(upstream)
            self._recording = False

    async def refresh(self) -> None:
        """Offer what was accepted meanwhile."""
        if await aside(self._pins.refresh_if_changed):
            for upstream in self._upstreams.values():
                self._take(upstream)

    async def _record(self, upstream: Upstream) -> None:
        changes = self._judge(upstream.name).changes if upstream.up else []
        if not changes:
            return
        try:
            await aside(partial(self._pins.write, changes))
        except Exception as error:  # whatever it is: what is not recorded is not offered, and it is tried again
            if not self._failing:
                log.error("pins cannot be written (%s): new tools wait until they can", type(error).__name__)
            self._failing = True
            asyncio.get_running_loop().call_later(_TRY_AGAIN, self._wake.set)
            return
        self._failing = False
        await self.refresh()  # of all upstreams: another replica may have recorded what others of them offer
        self._take(upstream)

    def _take(self, upstream: Upstream) -> None:
        name, before = upstream.name, self._catalog.offer(upstream.name)
        assert before is not None
        after = self._offer(upstream) if upstream.up else replace(before, up=False)
        self._metrics.upstream_up.labels(name).set(upstream.up)
        self._metrics.tools.labels(name).set(len(after.tools))
        kinds = _changed(before, after)
        if before.up and not after.up:
            log.warning("%s is down", name)
        self._catalog.put(after)
        self.changes += 1
        if kinds:
            self._audience.lists_changed(name, kinds, lambda agent: self._policy().reaches(agent, name))

    def _offer(self, upstream: Upstream) -> Offer:
        name, listing = upstream.name, self._listings[upstream.name]
        admission = self._judge(name)
        if admission.changes:
            self._wake.set()
        self._report(name, admission, listing)
        server = self._config.servers[name]
        return Offer(
            name,
            True,
            upstream.era,
            self._hellos[name],
            compile_tools(name, admission.offered, server.facts, lambda tool: compile_rules(server.arguments(tool))),
            listing.resources,
            listing.templates,
            listing.prompts,
        )

    def _judge(self, server: str) -> Admission:
        return self._admissions.judge(server, self._listings[server].tools)

    def _report(self, server: str, admission: Admission, listing: Listing) -> None:
        """Say what is left out and what looks suspicious: once, for as long as it stays so."""
        doubts = list(suspicious(listing))
        self._withheld[server] = admission.withheld
        self._metrics.withheld.labels(server).set(len(admission.withheld))
        self._metrics.suspicious.labels(server).set(len(doubts))
        lines = [f"tool {name!r} is left out: {why}" for name, why in admission.refused.items()]
        lines += [_withheld(server, name, why) for name, why in admission.withheld.items()]
        lines += doubts
        news = [line for line in lines if line not in self._told.get(server, ())]
        self._told[server] = frozenset(lines)
        for line in news[:_TOLD]:
            log.warning("%s: %s", server, line)
        if len(news) > _TOLD:
            log.warning("%s: %d more of its entries are left out, withheld or suspicious", server, len(news) - _TOLD)


def _withheld(server: str, name: str, why: str) -> str:
    tool = f"{server}/{name}"
    return f"tool {name} is withheld: {why}. See: toolgate pins diff {tool}. To offer it: toolgate pins accept {tool}"


def suspicious(listing: Listing) -> Iterator[str]:
    """One line for each entry whose text holds what models should not read unseen."""
    for noun, key, entries in (
        ("tool", "name", listing.tools),
        ("resource", "uri", listing.resources),
        ("resource template", "uriTemplate", listing.templates),
        ("prompt", "name", listing.prompts),
    ):
        for entry in entries:
            if found := findings(entry):
                yield f"the text of {noun} {entry[key]!r} holds {', '.join(found)}"


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
