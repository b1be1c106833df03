"""Reads everything an upstream offers: all pages, within bounds, without what cannot be used."""

from __future__ import annotations

import logging
from typing import Any

from gateway.call import Silent
from gateway.errors import UpstreamError
from gateway.sdk.inbound import find_invalid_x_mcp_header
from gateway.upstream.link import Link, Listing
from gateway.upstream.wire import METHOD_NOT_FOUND

log = logging.getLogger("toolgate.upstream")

_LISTS = (
    ("tools", "tools/list", "tools", "name"),
    ("resources", "resources/list", "resources", "uri"),
    ("resources", "resources/templates/list", "resourceTemplates", "uriTemplate"),
    ("prompts", "prompts/list", "prompts", "name"),
)
"""Capability, method, field of its result, and what names an entry."""

MOST_PAGES = 100
MOST_ENTRIES = 10_000


async def fetch(server: str, link: Link) -> Listing:
    """What the upstream offers now. Raises UpstreamFailed."""
    capabilities = link.hello.get("capabilities") or {}
    lists: dict[str, tuple[dict[str, Any], ...]] = {}
    for capability, method, field, key in _LISTS:
        if capability in capabilities:
            lists[field] = await _all(server, link, method, field, key)
    return Listing(
        lists.get("tools", ()),
        lists.get("resources", ()),
        lists.get("resourceTemplates", ()),
        lists.get("prompts", ()),
    )


async def _all(server: str, link: Link, method: str, field: str, key: str) -> tuple[dict[str, Any], ...]:
    found: dict[str, dict[str, Any]] = {}
    cursors: set[str] = set()
    params: dict[str, Any] = {}
    for _ in range(MOST_PAGES):
        try:
            page = await link.request(method, params, peer=Silent())
        except UpstreamError as error:
            if method == "tools/list" and error.code != METHOD_NOT_FOUND:
                raise
            log.info("%s: %s is not answered (error %d)", server, method, error.code)
            break
        entries = page.get(field)
        for entry in entries if isinstance(entries, list) else ():
            problem = _problem(entry, key, field) or _repeated(entry[key], found)
            if problem is None:
                found[entry[key]] = entry
            else:
                log.warning("%s: an entry of %s is left out: %s", server, method, problem)
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str) or cursor in cursors:
            break
        if len(found) >= MOST_ENTRIES:
            log.warning("%s: %s has more than %d entries; the rest is left out", server, method, MOST_ENTRIES)
            break
        cursors.add(cursor)
        params = {"cursor": cursor}
    return tuple(found.values())[:MOST_ENTRIES]


def _problem(entry: Any, key: str, field: str) -> str | None:
    """Why an entry cannot be used, or None."""
    if not isinstance(entry, dict):
        return "it is not an object"
    name = entry.get(key)
    if not isinstance(name, str) or not name:
        return f"it has no {key}"
    if field != "tools":
        return None
    schema = entry.get("inputSchema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return f"the input schema of {name!r} does not say that arguments are an object"
    invalid = find_invalid_x_mcp_header(schema)
    return f"the input schema of {name!r} is wrong: {invalid}" if invalid else None


def _repeated(name: str, found: dict[str, dict[str, Any]]) -> str | None:
    return f"{name!r} was listed before" if name in found else None
