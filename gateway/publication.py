"""What upstreams publish of themselves, without the secrets that are in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.metrics import Metrics
from gateway.rules.published import publishable
from gateway.rules.secrets import Secrets
from gateway.upstream import Listing

log = logging.getLogger("toolgate")

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Publication:
    """Masks, and tells and counts what it masked."""

    secrets: Secrets
    metrics: Metrics

    def listing(self, server: str, listing: Listing) -> Listing:
        """Without the entries that cannot be published: a name that is masked is the name of nothing."""
        return Listing(
            self._entries(server, listing.tools, "name"),
            self._entries(server, listing.resources, "uri"),
            self._entries(server, listing.templates, "uriTemplate"),
            self._entries(server, listing.prompts, "name"),
        )

    def hello(self, server: str, hello: Entry) -> Entry:
        return next(iter(self._entries(server, [hello])), {})

    def clean(self, params: Entry) -> bool:
        """Whether a notification may be passed on as it is."""
        return publishable(params, self.secrets) is params

    def _entries(self, server: str, entries: Sequence[Entry], key: str | None = None) -> tuple[Entry, ...]:
        masked = [publishable(entry, self.secrets, key) for entry in entries]
        for finding, found in (
            ("withheld", sum(new is None for new in masked)),
            ("masked", sum(new is not None and new is not old for new, old in zip(masked, entries, strict=True))),
        ):
            if found:
                log.warning("%s: %d of the things it publishes had a secret in them: %s", server, found, finding)
                self.metrics.guard.labels(server, "-", finding).inc(found)
        return tuple(entry for entry in masked if entry is not None)
