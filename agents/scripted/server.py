"""The Messages API over HTTP on loopback: JSON and streaming, errors in the API's form, usage by size."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agents.scripted.conversation import Script, Unexpected
from agents.scripted.stream import frames

KEY = "scripted"
"""The only key this server takes, so that a real key that strays here is refused."""


class ApiError(Exception):
    """What a script raises to have the API answer with an error: an HTTP status, a type and a message."""

    def __init__(self, status: int, type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.type = type


@contextmanager
def serve(script: Script) -> Iterator[str]:
    """Serve `script` on a free loopback port until the block ends; yields the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(_app(script), log_level="warning", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        # The socket listens already, so a request that comes before the thread is up just waits.
        thread = threading.Thread(target=server.run, args=([listener],), name="scripted-model", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(5)  # a script may hang on purpose


def _app(script: Script) -> Starlette:
    numbers = itertools.count(1)

    async def messages(request: Request) -> Response:
        number = next(numbers)
        headers = {"request-id": f"req_{number:06}"}
        try:
            if request.headers.get("authorization") != f"Bearer {KEY}":
                raise ApiError(401, "authentication_error", "the scripted model takes no key but its own")
            body = await request.body()
            asked = _parse(body)
            message = _message(asked, script(asked), len(body), number)
        except Unexpected as error:
            return _error(400, "invalid_request_error", f"not in the script: {error}", headers)
        except ApiError as error:
            return _error(error.status, error.type, str(error), headers)
        if asked.get("stream") and isinstance(message["content"], list):
            return Response(b"".join(frames(message)), media_type="text/event-stream", headers=headers)
        return JSONResponse(message, headers=headers)

    return Starlette(routes=[Route("/v1/messages", messages, methods=["POST"])])


def _parse(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise ApiError(400, "invalid_request_error", f"the body is not JSON: {error}") from None
    missing = [key for key in ("model", "max_tokens", "messages") if not asked.get(key)]
    if missing:
        raise ApiError(400, "invalid_request_error", f"required: {', '.join(missing)}")
    _check_results(asked["messages"])
    return dict(asked)


def _check_results(messages: list[dict[str, Any]]) -> None:
    """As the API does: every tool_use is answered in the very next message, results before anything else."""
    for index, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        uses = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if message["role"] != "assistant" or not uses:
            continue
        following = messages[index + 1]["content"] if index + 1 < len(messages) else []
        leading = list(itertools.takewhile(lambda block: block["type"] == "tool_result", following))
        if {block["tool_use_id"] for block in leading} != uses:
            raise ApiError(
                400,
                "invalid_request_error",
                f"messages.{index}: every `tool_use` needs its `tool_result` first in the next message",
            )


def _message(asked: dict[str, Any], reply: dict[str, Any], size: int, number: int) -> dict[str, Any]:
    """The API's answer around a script's reply. Four bytes are a token; a reply may bring its own usage."""
    written = len(json.dumps(reply["content"]))
    return {
        "id": f"msg_{number:06}",
        "type": "message",
        "role": "assistant",
        "model": asked["model"],
        "stop_sequence": None,
        "usage": {"input_tokens": 1 + size // 4, "output_tokens": 1 + written // 4},
        **reply,
    }


def _error(status: int, type: str, message: str, headers: dict[str, str]) -> JSONResponse:
    error = {"type": type, "message": message}
    whole = {"type": "error", "error": error, "request_id": headers["request-id"]}
    return JSONResponse(whole, status_code=status, headers=headers)
