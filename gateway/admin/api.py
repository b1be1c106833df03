"""The HTTP API: JSON for programs of reviewers, who send their token as bearer. `docs/approvals.md` describes it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.deciding import Deciding, Edit
from gateway.admin.entrance import Entrance, Stopped, body_of, unavailable
from gateway.admin.insight import Insight
from gateway.admin.search import PARAMETERS
from gateway.admin.statistics import DAYS, statistics
from gateway.admin.streams import Streams
from gateway.admin.upstreams import health_json
from gateway.approvals import Ticket, Verdict
from gateway.approvals.edits import merged
from gateway.approvals.shown import ticket_json
from gateway.approvals.ticket import State
from gateway.aside import aside
from gateway.errors import Unrecorded
from gateway.policy.matrix import matrix_json
from gateway.reviewers import Reviewer
from gateway.story import story_json
from gateway.strict import parse
from gateway.trail import event_json

PATH = "/api"
_MOST = 500
_MAX_BODY = 1_048_576

Handler = Callable[[Request, Reviewer], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Api:
    entrance: Entrance
    deciding: Deciding
    streams: Streams
    insight: Insight
    clock: Callable[[], float] = time.time

    def routes(self) -> list[Route]:
        decide = {verdict: self._open(partial(self._decide, verdict)) for verdict in get_args(Verdict)}
        ticket = f"{PATH}/tickets/{{ticket}}"
        return [
            Route(f"{PATH}/tickets", self._open(self._tickets), methods=["GET"]),
            Route(ticket, self._open(self._ticket), methods=["GET"]),
            *(Route(f"{ticket}/{verdict}", decide[verdict], methods=["POST"]) for verdict in decide),
            Route(f"{PATH}/stats", self._open(self._stats), methods=["GET"]),
            Route(f"{PATH}/events", self._open(self._events), methods=["GET"]),
            Route(f"{PATH}/audit", self._open(self._audit), methods=["GET"]),
            Route(f"{PATH}/audit/{{seq}}", self._open(self._event), methods=["GET"]),
            Route(f"{PATH}/runs/{{agent}}/{{run:path}}", self._open(self._run), methods=["GET"]),
            Route(f"{PATH}/matrix", self._open(self._matrix), methods=["GET"]),
            Route(f"{PATH}/upstreams", self._open(self._upstreams), methods=["GET"]),
            Route(f"{PATH}/{{rest:path}}", self._open(_absent), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    def _open(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request, await self.entrance.reviewer(request))
            except Stopped as stopped:
                return _problem(stopped)
            except (Unrecorded, SQLAlchemyError):
                return _problem(unavailable())

        return endpoint

    def _told(self, ticket: Ticket) -> dict[str, Any]:
        return ticket_json(ticket, self.clock())

    async def _tickets(self, request: Request, reviewer: Reviewer) -> Response:
        query = _query(request, {"state", "agent", "run"})
        states = query["state"].split(",") if "state" in query else []
        if unknown := [state for state in states if state not in get_args(State)]:
            raise Stopped(422, "state", f"{unknown[0][:40]!r} is no state: use {', '.join(get_args(State))}.")
        find = self.deciding.approvals.find
        found = await aside(partial(find, states=states, agent=query.get("agent"), run=query.get("run"), limit=_MOST))
        return _json({"tickets": [self._told(ticket) for ticket in found]})

    async def _ticket(self, request: Request, reviewer: Reviewer) -> Response:
        return _json(self._told(await self.deciding.ticket(request.path_params["ticket"])))

    async def _decide(self, verdict: Verdict, request: Request, reviewer: Reviewer) -> Response:
        body = await _body(request, {"words": str, "arguments": dict, "fingerprint": str})
        edit: Edit | None = None
        if "arguments" in body:
            if verdict == "reject":
                raise Stopped(422, "arguments", "Arguments go with an approval; leave them out of a rejection.")
            edit = partial(merged, edit=body["arguments"])
        identity, words = request.path_params["ticket"], body.get("words", "")
        ticket = await self.deciding.decide(identity, reviewer, verdict, words, body.get("fingerprint"), edit)
        return _json(self._told(ticket))

    async def _stats(self, request: Request, reviewer: Reviewer) -> Response:
        _query(request, set())
        shares = await aside(partial(statistics, self.deciding.approvals, self.clock()))
        return _json({"days": DAYS, "tools": shares})

    async def _events(self, request: Request, reviewer: Reviewer) -> Response:
        return self.streams.open(reviewer, self._told)

    async def _audit(self, request: Request, reviewer: Reviewer) -> Response:
        found = await aside(partial(self.insight.events, _query(request, PARAMETERS)))
        return _json({"events": [event_json(event) for event in found.events], "before": found.before})

    async def _event(self, request: Request, reviewer: Reviewer) -> Response:
        return _json(event_json(await aside(partial(self.insight.event, request.path_params["seq"]))))

    async def _run(self, request: Request, reviewer: Reviewer) -> Response:
        of = request.path_params
        return _json(story_json(await aside(partial(self.insight.story, of["agent"], of["run"]))))

    async def _matrix(self, request: Request, reviewer: Reviewer) -> Response:
        _query(request, set())
        return _json(await aside(lambda: matrix_json(self.insight.matrix())))

    async def _upstreams(self, request: Request, reviewer: Reviewer) -> Response:
        _query(request, set())
        return _json({"upstreams": [health_json(each) for each in self.insight.upstreams.health()]})


async def _absent(request: Request, reviewer: Reviewer) -> Response:
    raise Stopped(404, "not_found", "There is nothing at this address for this method.")


def _query(request: Request, known: Set[str]) -> dict[str, str]:
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known or names.count(name) > 1:
            raise Stopped(422, "query", f"{name[:40]!r} is no parameter of this address, or is there twice.")
    return dict(request.query_params)


async def _body(request: Request, known: Mapping[str, type]) -> dict[str, Any]:
    """The JSON object sent, with no other members than the known ones, each of its type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Stopped(415, "content_type", "Content-Type must be application/json.")
    try:
        body = parse(await body_of(request, _MAX_BODY))
    except ValueError as error:
        raise Stopped(400, "body", f"The body cannot be read: {error}.") from None
    if not isinstance(body, dict):
        raise Stopped(400, "body", "The body is to be a JSON object.")
    for name, value in body.items():
        if name not in known:
            raise Stopped(422, "body", f"{name[:40]!r} is no member of this body: use {', '.join(known)}.")
        if not isinstance(value, known[name]):
            raise Stopped(422, "body", f"{name} is to be {'an object' if known[name] is dict else 'a text'}.")
    return body


def _problem(stopped: Stopped) -> Response:
    told = {"error": {"reason": stopped.reason, "message": str(stopped)}}
    return _json(told, stopped.status, stopped.headers)


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    told = {"cache-control": "no-store", "x-content-type-options": "nosniff", **(headers or {})}
    return Response(orjson.dumps(value), status, told, media_type="application/json")
