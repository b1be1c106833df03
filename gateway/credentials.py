"""Which secret an agent's calls carry to an upstream: exact (agent, server) pairs, no glob, no fallback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from gateway.call import Credential
from gateway.config import Server
from gateway.errors import NoCredential


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
