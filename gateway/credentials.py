"""Which secret an agent's calls carry to an upstream: exact (agent, server) pairs, no glob, no fallback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.call import Credential
from gateway.errors import NoCredential


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secrets by server and agent. A server without an entry is reached with the gateway's own connection."""

    by_server: Mapping[str, Mapping[str, Credential]]

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
