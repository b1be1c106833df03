"""What an IP address is: public, inside somebody's network, or where a cloud hands out credentials.

Networks are those of IANA's special-purpose registries (RFC 6890), written down here because what `ipaddress` takes
for global differs between versions of Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

Standing = Literal["public", "private", "metadata"]
"""metadata: link-local addresses and those of clouds' metadata services, which no tool has any business with."""

_PRIVATE_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
_METADATA_4 = (
    IPv4Network("169.254.0.0/16"),  # link-local: AWS, Azure, Google Cloud, DigitalOcean and most others
    IPv4Network("100.100.100.200/32"),  # Alibaba Cloud
    IPv4Network("168.63.129.16/32"),  # Azure's wire server
    IPv4Network("192.0.0.192/32"),  # Oracle Cloud
)
_PUBLIC_6 = IPv6Network("2000::/3")
_PRIVATE_6 = tuple(
    IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)  # fmt: skip
"""Within 2000::/3: protocol assignments (Teredo among them), documentation, 6to4, AS112."""
_METADATA_6 = (IPv6Network("fe80::/10"), IPv6Network("fd00:ec2::/32"), IPv6Network("fd20:ce::254/128"))
_EMBEDDING = tuple(
    IPv6Network(network) for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96")
)
"""IPv6 networks whose last 32 bits are an IPv4 address: compatible, mapped, translated, NAT64."""
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def standing(address: str) -> Standing | None:
    """How an IP address stands, however it embeds another; None when `address` is none. Zone ids are ignored."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return _of_4(parsed) if isinstance(parsed, IPv4Address) else _of_6(parsed)


def _of_4(address: IPv4Address) -> Standing:
    if any(address in network for network in _METADATA_4):
        return "metadata"
    return "private" if any(address in network for network in _PRIVATE_4) else "public"


def _of_6(address: IPv6Address) -> Standing:
    if any(address in network for network in _METADATA_6):
        return "metadata"
    embedded = _embedded(address)
    if embedded is not None and (inner := _of_4(embedded)) != "public":
        return inner
    if address in _NAT64:
        return "public"
    return "public" if address in _PUBLIC_6 and not any(address in network for network in _PRIVATE_6) else "private"


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address in an IPv6 address of a transition mechanism (RFC 4291, 6052, 3056, 4380, 5214)."""
    number = int(address)
    if any(address in network for network in _EMBEDDING) or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    return None if address.teredo is None else address.teredo[1]
