"""What those ask who watch a process: does it live, is it ready, how is it? They need no token."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.metrics import Metrics
from gateway.store import Store
from gateway.upstream import Upstream


def probes(
    store: Store, upstreams: Mapping[str, Upstream], settled: Callable[[], bool], metrics: Metrics
) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`. `settled`: whether every upstream was tried."""

    async def healthz(request: Request) -> Response:
        ok = store.failed is None
        return JSONResponse({"ok": ok, "store": "ok" if ok else "failed"}, 200 if ok else 503)

    async def readyz(request: Request) -> Response:
        ok = store.failed is None and settled()
        states = {name: "up" if upstream.up else "down" for name, upstream in upstreams.items()}
        return JSONResponse({"ok": ok, "upstreams": states}, 200 if ok else 503)

    async def exposition(request: Request) -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
