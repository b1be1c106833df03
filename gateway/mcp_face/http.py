"""The little of HTTP that the data path needs, straight on ASGI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from gateway.call import TRACEPARENT

_JSON = (b"content-type", b"application/json")


class BodyTooLarge(Exception):
    """The request's body is larger than allowed."""


class ClientGone(Exception):
    """The client left before its request was whole."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Request headers: `pairs` as they came (names lower case, values trimmed), `folded` by name."""

    pairs: list[tuple[str, str]]
    folded: dict[str, str]

    @classmethod
    def of(cls, scope: Scope) -> Headers:
        # httptools keeps blanks at the end of a value; HTTP says they are not part of it (RFC 9110, 5.5).
        pairs = [(name.decode("latin-1"), value.decode("latin-1").strip(" \t")) for name, value in scope["headers"]]
        return cls(pairs, dict(pairs))

    def get(self, name: str) -> str:
        return self.folded.get(name, "")

    def traced(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        """`meta`, with the trace that the HTTP request names, where it names none itself."""
        given = self.folded.get("traceparent")
        if given is None or "traceparent" in meta or TRACEPARENT.fullmatch(given) is None:
            return meta
        state = self.folded.get("tracestate")
        return {**meta, "traceparent": given, **({} if state is None else {"tracestate": state})}

    def accepts_json_and_sse(self) -> bool:
        accepted = self.get("accept")
        if accepted == "application/json, text/event-stream":
            return True
        types = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
        return "*/*" in types or (
            bool(types & {"application/json", "application/*"}) and bool(types & {"text/event-stream", "text/*"})
        )


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge, or ClientGone."""
    declared = headers.get("content-length")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLarge
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def replayed(scope: Scope, body: bytes, receive: Receive) -> tuple[Scope, Receive]:
    """A request whose body was read, as one with this body: for whoever reads it next."""
    headers = [
        (name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding")
    ]
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}, again


async def respond(send: Send, status: int, body: bytes = b"", *, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """One whole response; a body is JSON."""
    head = [*headers, (b"content-length", str(len(body)).encode())]
    if body:
        head.append(_JSON)
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
