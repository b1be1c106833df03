"""URLs, read as a browser reads them (WHATWG) and sent on as they were read, so that nobody reads them otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gateway.rules.addresses import standing

LONGEST = 8192
"""Characters."""

# WHATWG drops tabs and line breaks and takes \ for /: others do not.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
_METADATA_NAMES = frozenset(
    ["metadata.google.internal", "metadata.goog", "metadata.azure.internal", "metadata.tencentyun.com",
     "metadata.packet.net", "instance-data.ec2.internal", "metadata", "instance-data"]
)  # fmt: skip
_INSIDE = (
    "localhost",
    "internal",
    "local",
    "localdomain",
    "lan",
    "home",
    "corp",
    "intranet",
    "private",
    "home.arpa",
    "svc",
)
"""Top-level names that never lead to the public Internet (RFC 6761, 6762, 8375, ICANN, Kubernetes)."""
_EMBEDDING = (
    "nip.io", "sslip.io", "xip.io", "xip.name", "backname.io", "traefik.me", "local.gd", "localtest.me", "lvh.me",
    "vcap.me", "lacolhost.com", "yoogle.com", "fuf.me", "smackaho.st", "ulh.us", "42foo.com", "beweb.com",
    "loopback.jp", "1u.ms", "rbndr.us", "ip6.name", "bc.googleusercontent.com", "spoofed.burpcollaborator.net",
)  # fmt: skip
"""Zones whose names resolve to an address spelled in them, or to loopback."""


def url_rule(schemes: Sequence[str], hosts: Sequence[str] | None) -> Callable[[str], str]:
    """A rule that takes URLs of these schemes at public hosts, or at those of `hosts`, and gives their normal form.

    A host of `hosts` that is named in full may be private; a metadata service never is allowed.
    """
    import ada_url  # only gateways that have such an argument load it

    allowed = frozenset(scheme.lower().removesuffix(":") for scheme in schemes)
    named = None if hosts is None else tuple(host.lower().rstrip(".") for host in hosts)

    def rule(value: str) -> str:
        if len(value) > LONGEST or _AMBIGUOUS.search(value):
            raise ValueError(f"must be a URL of at most {LONGEST} characters without spaces and backslashes")
        try:
            url = ada_url.URL(value)
        except ValueError:
            raise ValueError("must be an absolute URL, such as https://example.com/page") from None
        if url.protocol.removesuffix(":") not in allowed:
            raise ValueError(f"must be a URL whose scheme is {' or '.join(sorted(allowed))}")
        if url.username or url.password:
            raise ValueError("must be a URL without credentials in it")
        _check_host(url.hostname, named)
        return str(url.href)

    return rule


def _check_host(hostname: str, named: tuple[str, ...] | None) -> None:
    host = hostname.lower().removeprefix("[").removesuffix("]").rstrip(".")
    address = standing(host)
    if address == "metadata" or host in _METADATA_NAMES:
        raise ValueError("must not lead to a metadata service or a link-local address")
    if named is not None and not _named(host, named):
        raise ValueError(f"must be a URL at {' or '.join(named) or 'no host at all'}")
    if named is not None and (host in named or address is None):
        return
    if address == "private" or (address is None and _inside(host)):
        raise ValueError("must be a URL at a public host; this one leads into a private network or to this machine")


def _named(host: str, named: tuple[str, ...]) -> bool:
    return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in named)


def _inside(host: str) -> bool:
    """Whether a name leads inside: it has no dot, or ends in a zone that does."""
    return "." not in host or any(host == zone or host.endswith(f".{zone}") for zone in (*_INSIDE, *_EMBEDDING))
