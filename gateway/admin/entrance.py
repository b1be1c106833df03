"""Who may come in: Host and Origin as at the agents' door, then a reviewer's token or a session."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import Request

from gateway.aside import aside
from gateway.errors import Unauthenticated
from gateway.mcp_face.door import Visitors, bearer_of, repeats
from gateway.mcp_face.http import Headers
from gateway.reviewers import Reviewer, Reviewers

log = logging.getLogger("toolgate.admin")

_FAILURES = 10
_MINUTE = 60.0
_ADDRESSES = 10_000
"""Addresses whose failures are counted, the latest ones."""


class Stopped(Exception):
    """A request that ends here: with an HTTP status, a stable reason, a text for people, and headers."""

    def __init__(self, status: int, reason: str, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def unavailable() -> Stopped:
    """What to answer while the store cannot be read or written."""
    return Stopped(503, "unrecorded", "The gateway cannot use its store now, so nothing was done. Try again later.")


@dataclass(slots=True)
class Failures:
    """Tokens that were not valid, by the address they came from, within a minute.

    A valid token always gets in: agents may share the reviewers' address, and must not be able to lock them out. The
    tokens' 256 bits are what cannot be guessed; this keeps the log readable and tells whoever tries to stop.
    """

    clock: Callable[[], float] = time.monotonic
    counts: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)

    def add(self, address: str) -> float:
        """Count one more; the seconds this address should wait, 0 when it need not."""
        now = self.clock()
        since, count = self.counts.pop(address, (now, 0))
        if now - since >= _MINUTE:
            since, count = now, 0
        self.counts[address] = since, count + 1
        if len(self.counts) > _ADDRESSES:
            self.counts.popitem(last=False)
        return 0.0 if count < _FAILURES else since + _MINUTE - now


@dataclass(frozen=True, slots=True)
class Entrance:
    """Checks of requests to the API and the console. All of them raise Stopped."""

    visitors: Visitors
    reviewers: Reviewers
    failures: Failures = field(default_factory=Failures)

    def check(self, request: Request) -> Headers:
        """Host and Origin are known here."""
        headers = Headers.of(request.scope)
        if repeats(headers):
            raise Stopped(400, "bad_request", "A header that decides is there more than once.")
        host, origin = headers.get("host"), headers.folded.get("origin")
        if not self.visitors.knows_host(host):
            raise Stopped(421, "unknown_host", "This Host is not served here. Add it to gateway.allowed_hosts.")
        if not self.visitors.knows_origin(origin) and not _same(origin, host):
            raise Stopped(403, "unknown_origin", "This Origin is not let in.")
        return headers

    def check_form(self, request: Request) -> Headers:
        """Beyond that, the page that sent it is the console's own."""
        headers = self.check(request)
        origin = headers.folded.get("origin")
        if origin is not None and not _same(origin, headers.get("host")):
            raise Stopped(403, "unknown_origin", "This form was sent by another site, so nothing was done.")
        return headers

    async def reviewer(self, request: Request) -> Reviewer:
        """Who sends a request to the API."""
        token = bearer_of(self.check(request))
        try:
            return await aside(partial(self.reviewers.verify, token))
        except Unauthenticated as refused:
            raise self.failed(request, str(refused)) from None

    def failed(self, request: Request, text: str) -> Stopped:
        """What to raise about a token that is not valid."""
        address = request.client.host if request.client else ""
        wait = self.failures.add(address)
        if wait:
            told = f"Too many tokens that are not valid came from this address. Try again in {wait:.0f} seconds."
            return Stopped(429, "throttled", told, retry_after=f"{wait:.0f}")
        log.warning("a reviewer's token that is not valid came from %s", address)
        challenge = 'Bearer realm="toolgate", error="invalid_token"'
        return Stopped(401, "unauthenticated", text, www_authenticate=challenge)


def _same(origin: str | None, host: str) -> bool:
    """Whether an origin is this host's own; its scheme is known only to whatever ends TLS in front of us."""
    return origin in (f"http://{host}", f"https://{host}")


async def body_of(request: Request, limit: int) -> bytes:
    """The whole body. Raises Stopped when it is longer."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Stopped(413, "too_large", f"The body is larger than {limit} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)
