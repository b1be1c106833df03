"""People who decide: names and tokens, `tr_<id>_<secret>_<checksum>`, known by their HMAC only, as agents' are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from gateway.store import Store


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who decides: a name, and the id of the token that proves it."""

    name: str
    token: str


@dataclass(frozen=True, slots=True)
class ReviewerRow:
    """A reviewer's token as it may be shown. Times are seconds since the epoch."""

    id: str
    name: str
    created: float
    expires: float | None
    revoked: float | None


class Reviewers:
    """The reviewers' tokens in `store`. Read at each use: this is rare."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store

    def create(self, name: str, *, expires: timedelta | None) -> tuple[str, ReviewerRow]:
        """Make a token for `name`; it can be read here only. Raises ValueError for what is no name."""
        raise NotImplementedError

    def list_all(self) -> list[ReviewerRow]:
        """Every token ever created, oldest first."""
        raise NotImplementedError

    def revoke(self, identity: str) -> bool:
        """Make the token with this id void, for good; False when there is none that is not void already."""
        raise NotImplementedError

    def verify(self, token: str) -> Reviewer:
        """Who it stands for. Raises Unauthenticated, with one text whatever is wrong."""
        raise NotImplementedError
