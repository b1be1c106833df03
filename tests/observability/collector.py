"""A collector of traces: takes OTLP over HTTP, as any would, and keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Seen:
    """One span. `trace`, `id` and `parent` are hex, `parent` empty for a root; `kind` as OTLP numbers it."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    seconds: float
    failed: bool
    about: dict[str, Any]


INTERNAL, SERVER, CLIENT = 1, 2, 3


@dataclass
class Collector:
    url: str
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def spans(self) -> list[Seen]:
        return [
            Seen(
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.kind,
                (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                span.status.code == 2,
                {pair.key: pair.value.string_value for pair in span.attributes},
            )
            for request in map(ExportTraceServiceRequest.FromString, list(self.bodies))
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def of(self, trace: str) -> list[Seen]:
        return [span for span in self.spans() if span.trace == trace]


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.bodies.append(body)
            collector.headers.append(dict(self.headers.items()))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collector
        finally:
            server.shutdown()
