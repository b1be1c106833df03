"""The gateway's connections to tool servers."""

from gateway.upstream.link import Link, Listing, ServerSpec
from gateway.upstream.observed import Observed
from gateway.upstream.upstream import Upstream

__all__ = ["Link", "Listing", "Observed", "ServerSpec", "Upstream"]
