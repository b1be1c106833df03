"""What the upstreams offer, as they published it, with what is needed to check a call compiled once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from gateway.call import ArgumentRule, Era, Facts, Tool
from gateway.sdk.inbound import x_mcp_header_map

log = logging.getLogger("toolgate.catalog")

_ERRORS_SHOWN = 3
_TEXT_LIMIT = 600
_MASK = "the value given"
"""Stands for argument values in texts: they may be long, or secret."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One upstream's part of the catalog. `up` False: the last known offer, no longer listed."""

    server: str
    up: bool = False
    era: Era | None = None
    hello: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    resources: tuple[Mapping[str, Any], ...] = ()
    templates: tuple[Mapping[str, Any], ...] = ()
    prompts: tuple[Mapping[str, Any], ...] = ()


class Catalog:
    """Offers by server, in configuration order. `version` grows with each change."""

    def __init__(self, servers: Iterable[str]) -> None:
        self._offers = {server: Offer(server) for server in servers}
        self.version = 0

    def put(self, offer: Offer) -> None:
        self._offers[offer.server] = offer
        self.version += 1

    def offer(self, server: str) -> Offer | None:
        return self._offers.get(server)

    def tool(self, server: str, name: str) -> Tool | None:
        offer = self._offers.get(server)
        return None if offer is None else offer.tools.get(name)

    def all(self) -> list[Offer]:
        """The last known offers of all, whether up or not."""
        return [*self._offers.values()]

    def listed(self, server: str | None = None) -> Iterator[Offer]:
        """The offers of upstreams that are up: of one server, or of all."""
        for offer in self._offers.values():
            if offer.up and server in (None, offer.server):
                yield offer


def compile_tools(
    server: str,
    definitions: Iterable[Mapping[str, Any]],
    facts: Callable[[str], Facts],
    rules: Callable[[str], Mapping[str, ArgumentRule]],
) -> dict[str, Tool]:
    """Tools by name, each with its facts and the rules of its arguments.

    One whose input schema cannot be used is left out, alone, and the log says why.
    """
    tools: dict[str, Tool] = {}
    for definition in definitions:
        name = definition["name"]
        schema = definition.get("inputSchema", {})
        try:
            check = checker(schema)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            log.warning(
                "%s: tool %r is left out: its input schema cannot be used (%s)",
                server,
                name,
                type(error).__name__,
            )
            continue
        mirrored = bool(x_mcp_header_map(schema))
        tools[name] = Tool(server, name, definition, facts(name), check, mirrored, rules(name))
    return tools


def checker(schema: Any) -> Callable[[Any], str | None]:
    """Compile a JSON Schema into a check that returns None, or one line saying what does not fit.

    Draft 2020-12 unless `$schema` says otherwise. References to other documents are never fetched.
    """
    validator = jsonschema_rs.validator_for(schema, mask=_MASK, offline=True)

    def check(arguments: Any) -> str | None:
        if validator.is_valid(arguments):
            return None
        lines = []
        for error in validator.iter_errors(arguments):
            path = ".".join(str(part) for part in error.instance_path)
            lines.append(f"{path}: {error.message}" if path else error.message)
            if len(lines) == _ERRORS_SHOWN:
                break
        return "; ".join(lines)[:_TEXT_LIMIT]

    return check
