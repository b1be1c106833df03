"""How a connection fails, in words a model can act on. The words are ours: no library's text ever gets in.

Only a connection that was never made counts as Unreachable: the tool cannot have run. Once a byte was
sent, nobody can tell, so everything later is Interrupted or Garbled.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import Garbled, Interrupted, Unreachable, UpstreamError, UpstreamFailed
from gateway.upstream.response import CutShort, HttpFailed, Malformed


def unreachable(server: str) -> Unreachable:
    return Unreachable(f"{server} cannot be reached right now; nothing was sent. Try again later or go on without it.")


def interrupted(server: str, *, retry_after: float | None = None) -> Interrupted:
    return Interrupted(
        f"{server} was asked, but no whole answer came. It is not known whether the call took effect: "
        "look before you repeat it.",
        retry_after=retry_after,
    )


def garbled(server: str) -> Garbled:
    return Garbled(
        f"{server} was asked, but what came back cannot be read. It is not known whether the call took "
        "effect: look before you repeat it."
    )


def of_client(server: str, error: HttpFailed) -> UpstreamFailed:
    """The failure that stands for what the HTTP client raised."""
    made: Callable[[str], UpstreamFailed]
    made = garbled if isinstance(error, Malformed) else interrupted if isinstance(error, CutShort) else unreachable
    failed = made(server)
    failed.detail = str(error)
    return failed


def refuses_credential(error: UpstreamError) -> bool:
    """Whether the upstream answered with HTTP 401 or 403."""
    return error.code in (401, 403)


def describe(failed: UpstreamFailed) -> str:
    """A line for the operator's log."""
    if isinstance(failed, UpstreamError):
        return f"{failed.reason}, code {failed.code}"
    return f"{failed.reason} ({failed.detail})" if failed.detail else failed.reason
