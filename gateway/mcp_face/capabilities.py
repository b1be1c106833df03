"""What a face says it can do: what the upstreams behind it offer, less what a gateway cannot relay."""

from __future__ import annotations

from typing import Any

from gateway.call import Era
from gateway.catalog import Catalog
from gateway.upstream.wire import TASKS

_WHOLE = ("tools", "resources", "prompts", "completions", "logging")


def capabilities(catalog: Catalog, server: str | None, era: Era) -> dict[str, Any]:
    """Server capabilities of a face. The face of all servers offers everything: upstreams come and go."""
    offer = catalog.offer(server) if server is not None else None
    offered = offer.hello.get("capabilities") if offer is not None else None
    names = [name for name in _WHOLE if name in offered] if isinstance(offered, dict) else list(_WHOLE)
    told: dict[str, Any] = {name: {} for name in names}
    for name in ("tools", "resources", "prompts"):
        if name in told:
            told[name] = {"listChanged": True}
    if "resources" in told:
        subscribable = not isinstance(offered, dict) or _subscribable(offered["resources"])
        told["resources"]["subscribe"] = subscribable
    told.setdefault("tools", {"listChanged": True})  # the gateway's own are on every face
    if era == "modern":
        told["extensions"] = {TASKS: {}}
    return told


def instructions(catalog: Catalog, server: str | None) -> str | None:
    """The upstream's instructions on its own face; none on the face of all servers."""
    offer = catalog.offer(server) if server is not None else None
    text = offer.hello.get("instructions") if offer is not None else None
    return text if isinstance(text, str) else None


def _subscribable(resources: Any) -> bool:
    return isinstance(resources, dict) and bool(resources.get("subscribe"))
