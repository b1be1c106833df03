"""A receiver of webhooks, over HTTP: it keeps what comes, answers as told, and checks signatures by itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from recorder import wait_until

KEY = b"0123456789" * 3
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """`answers` are the statuses of the next requests, then 204; a callable is called instead, and may take long."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        """What came, oldest first: headers and body in one, and whether the signature was right."""
        self.answers: list[Any] = []
        self.paths: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?for=toolgate"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def wait_for(self, count: int, seconds: float = 10.0) -> None:
        wait_until(lambda: len(self.messages) >= count, seconds)

    def take(self, path: str, headers: Any, body: bytes) -> Any:
        told = {name.lower(): value for name, value in headers.items()}
        signed = f"{told['webhook-id']}.{told['webhook-timestamp']}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        answer = self.answers.pop(0) if self.answers else 204
        status = answer() if callable(answer) else answer
        self.paths.append(path)
        genuine = told["webhook-signature"] == expected
        self.messages.append({**json.loads(body), "headers": told, "genuine": genuine, "status": status})
        return status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.take(self.path, self.headers, body)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                return None

        return Handler
