"""The text form of bearer tokens, `<prefix>_<id>_<secret>_<checksum>`, and what is stored of them.

All is base62: 10 characters that name the token, 43 that carry 256 random bits, and the CRC32 of what stands before,
so that a mistyped token is refused without a look-up. `tg` is an agent's, `tr` a reviewer's.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
import string
from typing import Literal

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID, _SECRET, _CHECKSUM = 10, 43, 6
_LENGTH = len("tg_") + _ID + 1 + _SECRET + 1 + _CHECKSUM
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]

Prefix = Literal["tg", "tr"]
State = Literal["active", "expired", "revoked"]


def mint(prefix: Prefix) -> tuple[str, str]:
    """A new token: its id, and the whole of it."""
    identity = "".join(secrets.choice(_ALPHABET) for _ in range(_ID))
    head = f"{prefix}_{identity}_{_base62(secrets.randbits(256), _SECRET)}"
    return identity, f"{head}_{checksum(head)}"


def fits(token: str) -> bool:
    """Whether it has the length of a token, and could be looked at further."""
    return len(token) == _LENGTH and token.isascii()


def identity_of(token: str) -> str:
    """The id in a token that `fits`."""
    return token[3 : 3 + _ID]


def intact(token: str) -> bool:
    """Whether the checksum of a token that `fits` is right."""
    return checksum(token[: -_CHECKSUM - 1]) == token[-_CHECKSUM:]


def state(expires: float | None, revoked: float | None, now: float) -> State:
    if revoked is not None:
        return "revoked"
    return "expired" if expires is not None and expires <= now else "active"


class Digests:
    """HMAC-SHA256 of whole tokens under `key`, hex."""

    def __init__(self, key: bytes) -> None:
        # Copying a keyed HMAC is cheaper than keying a new one, and this is done once a call.
        self._keyed = hmac.new(key, digestmod="sha256")

    def __call__(self, token: str) -> bytes:
        mac = self._keyed.copy()
        mac.update(token.encode())
        return mac.hexdigest().encode()


def checksum(head: str) -> str:
    """CRC32 in base62, two digits at a time: this stands on the path of every call."""
    rest, low = divmod(binascii.crc32(head.encode()), 3844)
    high, middle = divmod(rest, 3844)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
