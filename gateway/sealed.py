"""Values that wait in the store and may hold secrets: encrypted, for whoever has `secret.key` only."""

from __future__ import annotations

import base64
import os
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class Unsealable(Exception):
    """Not sealed by this gateway, not for this place, or altered since."""


class Vault:
    """AES-256-GCM under `key` (32 bytes). A value is bound to its place, so that no row can stand in for another."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, value: Any, place: str) -> str:
        """`value`, JSON, as text. `place` names the row it is for."""
        nonce = os.urandom(_NONCE)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, orjson.dumps(value), place.encode())).decode()

    def open(self, sealed: str, place: str) -> Any:
        """What was sealed for this place. Raises Unsealable."""
        try:
            raw = base64.b64decode(sealed, validate=True)
            return orjson.loads(self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], place.encode()))
        except (ValueError, InvalidTag):
            raise Unsealable(f"what is stored for {place} cannot be read with this secret.key") from None
