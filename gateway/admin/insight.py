"""What reviewers look up: events, runs, who may call what, how the servers do. It blocks: use it beside the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, Response

from gateway import telling
from gateway.admin.entrance import Stopped
from gateway.admin.render import Pages
from gateway.admin.search import Found, one, search, wanted
from gateway.admin.sessions import Session
from gateway.admin.upstreams import Upstreams
from gateway.catalog import Catalog
from gateway.policy import Policy
from gateway.policy.explain import role, terms
from gateway.policy.matrix import MEANING, Matrix, matrix
from gateway.policy.objects import objects
from gateway.store import Store
from gateway.story import Story, cost, tell
from gateway.trail import Event

Query = Mapping[str, str]

_STORY = 4000
"""Events of a run that are told at most."""


@dataclass(frozen=True, slots=True)
class Insight:
    """The facts, for pages and API alike. Raises Stopped for what cannot be asked, or is not there."""

    store: Store
    policy: Callable[[], Policy]
    catalog: Catalog
    upstreams: Upstreams
    clock: Callable[[], float] = time.time

    def events(self, query: Query) -> Found:
        return search(self.store, wanted(query, self.clock()))

    def event(self, place: str) -> Event:
        found = one(self.store, int(place)) if place.isascii() and place.isdigit() and len(place) < 19 else None
        if found is None:
            raise Stopped(404, "not_found", "There is no such event, or it is archived.")
        return found

    def story(self, agent: str, run: str) -> Story:
        found = tell(self.store, agent, run, _STORY) if agent and run else None
        if found is None:
            raise Stopped(404, "not_found", "The log has no such run of this agent.")
        return found

    def matrix(self) -> Matrix:
        """All agents and what rules and servers name."""
        policy = self.policy()
        rules = [rule for agent in policy.agents for rule in policy.rules(agent) if rule.action == "call"]
        known = {offer.server: set(offer.tools) for offer in self.catalog.all()}
        return matrix(policy, objects(rules, known, known))


@dataclass(frozen=True, slots=True)
class Looks:
    """Each method is a page for a reviewer who is signed in."""

    pages: Pages
    insight: Insight

    def audit(self, session: Session, query: Query) -> Response:
        """A page of events. What cannot be asked is said above the form."""
        found, problem = Found([], None), None
        try:
            found = self.insight.events(query)
        except Stopped as stopped:
            problem = str(stopped)
        status = 200 if problem is None else 422
        given = {name: value for name, value in query.items() if value and name != "before"}
        return self._page("audit.html", session, "audit", status, found=found, given=given, problem=problem)

    def event(self, session: Session, place: str) -> Response:
        return self._page("event.html", session, "audit", event=self.insight.event(place))

    def run(self, session: Session, query: Query) -> Response:
        story = self.insight.story(query.get("agent", ""), query.get("run", ""))
        return self._page("run.html", session, "audit", story=story, telling=telling, cost=cost)

    def matrix(self, session: Session, query: Query) -> Response:
        """All agents beside each other, or one of them with its rules in full."""
        shown, agent = self.insight.matrix(), query.get("agent", "")
        if agent and agent not in shown.agents:
            raise Stopped(404, "not_found", "No agent of this name has a policy.")
        told: dict[str, Any] = {"meaning": MEANING, "terms": terms, "role": role}
        return self._page("matrix.html", session, "matrix", shown=shown, agent=agent, **told)

    def upstreams(self, session: Session) -> Response:
        return self._page("upstreams.html", session, "upstreams", rows=self.insight.upstreams.health())

    def _page(self, template: str, session: Session, here: str, status: int = 200, **values: Any) -> Response:
        text = self.pages(template, session=session, here=here, now=self.insight.clock(), **values)
        return HTMLResponse(text, status)
