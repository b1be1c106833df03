"""The console: pages for reviewers, in a browser, with a session. They work without JavaScript but for live arrival."""

from __future__ import annotations

import hmac
import mimetypes
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast
from urllib.parse import parse_qsl, quote

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.admin.deciding import Deciding
from gateway.admin.edits import from_form
from gateway.admin.entrance import Entrance, Stopped, body_of, unavailable
from gateway.admin.insight import Looks
from gateway.admin.pages import Views
from gateway.admin.sessions import COOKIE, LIFETIME, Session, Sessions
from gateway.admin.streams import Streams
from gateway.approvals.ticket import MAX_WORDS
from gateway.aside import aside
from gateway.errors import Unauthenticated, Unrecorded
from gateway.ledger import Finding

PATH = "/console"
_MAX_FORM = 2_097_152
_SAFE = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Not no-referrer, which takes the origin from forms too.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_TARGET = re.compile(rf"{PATH}(/[\w/%-]*)?(\?[\w/%&=.*+~:@!$'(),;-]*)?", re.ASCII)

Form = Mapping[str, str]
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Console:
    entrance: Entrance
    sessions: Sessions
    deciding: Deciding
    streams: Streams
    views: Views
    looks: Looks

    def routes(self) -> list[Route]:
        def get(path: str, handler: Handler) -> Route:
            return Route(PATH + path, self._safe(handler), methods=["GET"])

        def post(path: str, handler: Handler) -> Route:
            return Route(PATH + path, self._safe(handler), methods=["POST"])

        views, looks = self.views, self.looks
        return [
            get("", self._shown(lambda session, request: views.waiting(session))),
            get("/waiting", self._shown(lambda session, request: views.waiting(session, part=True))),
            get("/history", self._shown(lambda session, request: views.history(session))),
            get("/statistics", self._shown(lambda session, request: views.statistics(session))),
            get("/unknown", self._shown(lambda session, request: views.unknown(session))),
            post("/unknown/{call}", self._settle),
            get("/tickets/{ticket}", self._ticket),
            post("/tickets/{ticket}", self._decide),
            get("/audit", self._shown(lambda session, request: looks.audit(session, request.query_params))),
            get("/audit/{seq}", self._shown(lambda session, request: looks.event(session, request.path_params["seq"]))),
            get("/run", self._shown(lambda session, request: looks.run(session, request.query_params))),
            get("/matrix", self._shown(lambda session, request: looks.matrix(session, request.query_params))),
            get("/upstreams", self._shown(lambda session, request: looks.upstreams(session))),
            get("/events", self._events),
            get("/login", self._login_page),
            post("/login", self._login),
            post("/logout", self._logout),
            get("/static/{name}", self._static),
            get("/{rest:path}", self._absent),
        ]

    def _safe(self, handler: Handler) -> Handler:
        """Whatever is answered has the headers of a safe page."""

        async def endpoint(request: Request) -> Response:
            try:
                self.entrance.check(request)
                response = await handler(request)
            except Stopped as stopped:
                response = self._problem(stopped)
            except (Unrecorded, SQLAlchemyError):
                response = self._problem(unavailable())
            for name, value in _SAFE.items():
                response.headers.setdefault(name, value)
            return response

        return endpoint

    def _problem(self, stopped: Stopped) -> Response:
        text = self.views.pages("problem.html", title="That did not work", text=str(stopped))
        return HTMLResponse(text, stopped.status, stopped.headers)

    def _shown(self, view: Callable[[Session, Request], Response]) -> Handler:
        async def handler(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return self._to_login(request)
            return await aside(partial(view, session, request))

        return handler

    async def _session(self, request: Request) -> Session | None:
        return await aside(partial(self.sessions.find, request.cookies.get(COOKIE, "")))

    def _to_login(self, request: Request) -> Response:
        if request.headers.get("sec-fetch-site") == "cross-site":
            # Its cookie does not come along with a link on another site: asked from here, it does.
            return HTMLResponse(self.views.pages("again.html", target=_address(request)))
        target = _address(request) if request.method == "GET" else PATH
        return RedirectResponse(f"{PATH}/login?to={quote(target, safe='/')}", 303)

    async def _form(self, request: Request) -> tuple[Session, Form]:
        """Who sent a form, and what is in it. Raises Stopped."""
        self.entrance.check_form(request)
        session = await self._session(request)
        if session is None:
            raise Stopped(401, "unauthenticated", "You are not signed in any more, so nothing was done. Sign in again.")
        form = await _form_of(request)
        if not hmac.compare_digest(form.get("form", "").encode(), session.form.encode()):
            raise Stopped(403, "form", "This form is not of your session, so nothing was done. Open the page again.")
        return session, form

    async def _ticket(self, request: Request) -> Response:
        session = await self._session(request)
        if session is None:
            return self._to_login(request)
        ticket = await self.deciding.ticket(request.path_params["ticket"])
        return await aside(partial(self.views.ticket, session, ticket))

    async def _decide(self, request: Request) -> Response:
        session, form = await self._form(request)
        identity, deed = request.path_params["ticket"], form.get("deed")
        if deed not in ("approve", "edit", "reject"):
            raise Stopped(422, "deed", "This form says neither approve nor edit nor reject, so nothing was done.")
        edit = None if deed != "edit" else partial(from_form, texts=form)
        verdict: Literal["approve", "reject"] = "reject" if deed == "reject" else "approve"
        words = form.get("words", "").replace("\r\n", "\n")
        try:
            await self.deciding.decide(identity, session.reviewer, verdict, words, form.get("seen", ""), edit)
        except Stopped as stopped:
            ticket = await self.deciding.ticket(identity)
            return await aside(partial(self.views.ticket, session, ticket, str(stopped), dict(form)))
        return RedirectResponse(f"{PATH}/tickets/{quote(identity, safe='')}", 303)

    async def _settle(self, request: Request) -> Response:
        session, form = await self._form(request)
        verdict, words = form.get("verdict"), form.get("words", "").strip()
        if verdict not in ("happened", "did_not"):
            raise Stopped(422, "verdict", "This form does not say what happened, so nothing was done.")
        problem = None
        if not words or len(words) > MAX_WORDS:
            problem = f"Say how you found out, in at most {MAX_WORDS} characters: it is kept with the record."
        else:
            sure = cast(Finding, verdict)
            told = {"call": request.path_params["call"], "reviewer": session.reviewer.name}
            work = partial(self.views.ledger.settle, verdict=sure, words=words, **told)
            if not await self.deciding.store.transact(work):
                problem = "This call is settled already, so nothing was done."
        if problem is not None:
            return await aside(partial(self.views.unknown, session, problem))
        return RedirectResponse(f"{PATH}/unknown", 303)

    async def _events(self, request: Request) -> Response:
        session = await self._session(request)
        if session is None:
            raise Stopped(401, "unauthenticated", "You are not signed in.")
        return self.streams.open(
            session.reviewer,
            lambda ticket: {
                **{name: getattr(ticket, name) for name in ("id", "kind", "state", "agent", "server", "tool")},
                "by": ticket.decisions[-1].reviewer if ticket.decisions else None,
            },
        )

    async def _login_page(self, request: Request) -> Response:
        return self._login_form(request.query_params.get("to", PATH))

    def _login_form(self, target: str, problem: str | None = None, status: int = 200) -> Response:
        return HTMLResponse(self.views.pages("login.html", target=_target(target), problem=problem), status)

    async def _login(self, request: Request) -> Response:
        self.entrance.check_form(request)
        form = await _form_of(request)
        target = _target(form.get("to", PATH))
        try:
            value = await aside(partial(self.sessions.open, form.get("token", "").strip()))
        except Unauthenticated as refused:
            stopped = self.entrance.failed(request, str(refused))
            return self._login_form(target, str(stopped), stopped.status)
        response = RedirectResponse(target, 303)
        secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
        response.set_cookie(COOKIE, value, max_age=LIFETIME, path=PATH, secure=secure, httponly=True, samesite="strict")
        return response

    async def _logout(self, request: Request) -> Response:
        await self._form(request)
        await aside(partial(self.sessions.close, request.cookies.get(COOKIE, "")))
        response = RedirectResponse(f"{PATH}/login", 303)
        response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
        return response

    async def _static(self, request: Request) -> Response:
        content = self.views.pages.static.get(name := request.path_params["name"])
        if content is None:
            return await self._absent(request)
        # Pages name the version they were made with, so it may be kept.
        headers = {"cache-control": "public, max-age=86400"}
        return Response(content, 200, headers, mimetypes.guess_type(name)[0])

    async def _absent(self, request: Request) -> Response:
        raise Stopped(404, "not_found", "There is no such page.")


def _address(request: Request) -> str:
    """What was asked for, as a link to it."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _target(path: str) -> str:
    """Where to go after signing in: a page of the console, whatever the address asked for."""
    return path if _TARGET.fullmatch(path) else PATH


async def _form_of(request: Request) -> Form:
    """The fields of a form, each once. Raises Stopped."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Stopped(415, "content_type", "This is not a form.")
    try:
        text = (await body_of(request, _MAX_FORM)).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=2000)
    except ValueError:
        raise Stopped(400, "form", "This form cannot be read.") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise Stopped(400, "form", "A field of this form is there twice.")
    return form
