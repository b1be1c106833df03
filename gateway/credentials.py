"""Which secret an agent's calls carry to an upstream: exact (agent, server) pairs, no glob, no fallback."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from gateway.call import Credential
from gateway.config import Server
from gateway.errors import NoCredential

_TELLING = re.compile("auth(?!or([^i]|$))|cookie|cred|key|pass|pwd|secret|sign|token", re.IGNORECASE)
"""Names of headers and variables whose values are secret whatever they look like."""
_PLAIN = re.compile(r"/?[a-z]+([-/._:+ ]+([a-z]+|[0-9]{1,5}))*/?|[a-z.]+@[a-z.-]+", re.IGNORECASE)
"""Words, versions, paths, media types, regions, addresses (of mail too): what no secret is, unless its name says so."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secrets by server and agent. A server without an entry is reached with the gateway's own connection."""

    by_server: Mapping[str, Mapping[str, Credential]]

    @classmethod
    def of_config(cls, servers: Iterable[Server]) -> Self:
        """What the configuration says, by server and agent."""
        return cls(
            {
                server.name: {
                    agent: Credential(
                        f"{server.name}/{agent}", {key: value.get_secret_value() for key, value in values.items()}
                    )
                    for agent, values in server.credentials.items()
                }
                for server in servers
                if server.credentials is not None
            }
        )

    def of(self, agent: str, server: str) -> Credential | None:
        """The credential for this pair; None when the server has no per-agent ones. Raises NoCredential."""
        agents = self.by_server.get(server)
        if agents is None:
            return None
        credential = agents.get(agent)
        if credential is None:
            raise NoCredential(
                f"{server} needs a credential of its own for each agent, and none is configured for {agent}. "
                "Go on without it, or ask whoever runs the gateway to add one."
            )
        return credential


def secret_values(servers: Iterable[Server]) -> frozenset[str]:
    """Every secret of the configuration, whole and in the parts that mean something without the rest.

    All of `credentials` is secret; of `headers`, `env` and a query in `url` what may be, by its name or its look.
    """
    return frozenset(part for server in servers for value in _values(server) for part in _parts(*value))


def _values(server: Server) -> Iterator[tuple[str, bool]]:
    """Each value that may be secret, and whether it certainly is."""
    for credential in (server.credentials or {}).values():
        yield from ((value.get_secret_value(), True) for value in credential.values())
    query = parse_qsl(urlsplit(server.url or "").query)
    for name, value in [*server.headers.items(), *server.env.items(), *query]:
        certain = _TELLING.search(name) is not None
        if certain or not _PLAIN.fullmatch(value):
            yield value, certain


def _parts(value: str, certain: bool) -> Iterator[str]:
    """A value, what follows its scheme (`Bearer ...`), what its fields hold, and passwords in it."""
    yield value
    scheme, _, rest = value.partition(" ")
    if rest:
        yield rest
    fields = re.split(r"[\s;,]+", value)
    yield from (field for field in fields if not _PLAIN.fullmatch(field))
    for field in fields:
        _, _, held = field.partition("=")
        if certain or not _PLAIN.fullmatch(held):
            yield held.strip('"')
    login = _decoded(rest) if scheme.lower() == "basic" else ""
    yield from (login, login.partition(":")[2], _password(value))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except ValueError:
        return ""


def _password(value: str) -> str:
    """The password in an address such as `postgres://user:password@host/name`; empty when there is none."""
    try:
        return urlsplit(value).password or ""
    except ValueError:
        return ""
