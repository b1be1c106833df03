"""What one agent sees: tools, resources, templates and prompts, filtered and narrowed by its policy."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gateway import confidence
from gateway.call import OWN, Action, Result
from gateway.catalog import Catalog, Offer
from gateway.mcp_face.wire import INVALID_PARAMS, RpcError
from gateway.policy import Policy
from gateway.sdk.uri_template import UriTemplate

SEPARATOR = "__"
_REMEMBERED = 4096

Entries = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists by agent and face (`server` None: all servers, names prefixed). Built once per policy and catalog."""

    catalog: Catalog
    policy: Callable[[], Policy]
    page_size: int
    built: dict[tuple[str, str | None, str], tuple[int, str, Entries]] = field(default_factory=dict)

    def page(self, agent: str, server: str | None, kind: str, cursor: Any) -> Result:
        """One page of a list: `kind` is `tools`, `resources`, `resourceTemplates` or `prompts`."""
        entries = self._entries(agent, server, kind)
        start = self._offset(cursor, len(entries))
        end = start + self.page_size
        result: Result = {kind: list(entries[start:end])}
        if end < len(entries):
            result["nextCursor"] = base64.urlsafe_b64encode(f"{end}".encode()).decode()
        return result

    def _offset(self, cursor: Any, count: int) -> int:
        if cursor is None:
            return 0
        try:
            start = int(base64.urlsafe_b64decode(str(cursor).encode()))
        except ValueError:
            start = -1
        if not 0 < start < max(count, 1):
            raise RpcError(
                INVALID_PARAMS,
                "This cursor is not one of ours, or the list has changed: list from the start.",
            )
        return start

    def _entries(self, agent: str, server: str | None, kind: str) -> Entries:
        policy = self.policy()
        key = (agent, server, kind)
        known = self.built.get(key)
        if known is not None and known[:2] == (self.catalog.version, policy.digest):
            return known[2]
        entries = tuple(self._build(policy, agent, server, kind))
        if len(self.built) >= _REMEMBERED:
            self.built.clear()
        self.built[key] = (self.catalog.version, policy.digest, entries)
        return entries

    def _build(self, policy: Policy, agent: str, server: str | None, kind: str) -> Iterator[Mapping[str, Any]]:
        for offer in self.catalog.listed(server):
            prefix = "" if server is not None else offer.server + SEPARATOR
            if kind == "tools":
                yield from _tools(policy, agent, offer, prefix)
            elif kind == "prompts":
                for prompt in _visible(policy, agent, offer, offer.prompts, "name", "get"):
                    yield {**prompt, "name": prefix + prompt["name"]}
            elif kind == "resources":
                yield from _visible(policy, agent, offer, offer.resources, "uri", "read")
            else:
                yield from _visible(policy, agent, offer, offer.templates, "uriTemplate", "read")
        own = self.catalog.offer(OWN) if kind == "tools" and server is not None else None
        if own is not None:
            yield from _tools(policy, agent, own, OWN + SEPARATOR)

    def locate(self, agent: str, server: str | None, uri: str) -> str:
        """The server that a resource URI belongs to, of those whose listing or templates this agent sees.

        Two servers that offer one URI: the first in the configuration has it. Empty when none has.
        """
        if server is not None:
            return server
        policy = self.policy()
        for offer in self.catalog.listed():
            known = any(resource["uri"] == uri for resource in offer.resources) or _matches(offer.templates, uri)
            if known and policy.visible(agent, offer.server, uri, "read"):
                return offer.server
        return ""


def split(name: str, server: str | None) -> tuple[str, str]:
    """Server and own name of a tool or prompt as named on a face. The gateway's own tools are called alike on all."""
    if server is not None and not _is_own(name):
        return server, name
    prefix, separator, own = name.partition(SEPARATOR)
    return (prefix, own) if separator else ("", name)


def _is_own(name: str) -> bool:
    return name.startswith(OWN + SEPARATOR)


def _tools(policy: Policy, agent: str, offer: Offer, prefix: str) -> Iterator[Mapping[str, Any]]:
    for tool in offer.tools.values():
        if not prefix and _is_own(tool.name):  # one that was accepted in spite of its name
            continue
        if policy.visible(agent, offer.server, tool.name, "call"):
            schema = policy.narrow(agent, offer.server, tool.name, tool.definition["inputSchema"])
            shown = {**tool.definition, "name": prefix + tool.name, "inputSchema": schema}
            gates = policy.gates(agent, offer.server, tool.name)
            shown["inputSchema"] = confidence.shown(schema, confidence.added(gates, tool.definition["inputSchema"]))
            # Untrusted content is answered with text, for nothing else can be wrapped; so is a call that waits.
            if gates or tool.facts.content == "untrusted":
                shown.pop("outputSchema", None)
            yield shown


def _visible(
    policy: Policy, agent: str, offer: Offer, entries: Sequence[Mapping[str, Any]], key: str, action: Action
) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in entries if policy.visible(agent, offer.server, entry[key], action))


def _matches(templates: Sequence[Mapping[str, Any]], uri: str) -> bool:
    parsed = (_template(template["uriTemplate"]) for template in templates)
    return any(template is not None and template.match(uri) is not None for template in parsed)


@lru_cache(maxsize=4096)
def _template(text: str) -> UriTemplate | None:
    """None for an upstream's template that is none: it matches nothing."""
    try:
        return UriTemplate.parse(text)
    except ValueError:
        return None
