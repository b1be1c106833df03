"""The keys that sign checkpoints: `audit.key` does now, and `audit.pub` has the public half of each that ever did."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.keyfile import key_in, key_problem
from gateway.times import moment

PRIVATE = "audit.key"
PUBLIC = "audit.pub"
_NEXT = "audit.key.next"


@dataclass(frozen=True, slots=True)
class Key:
    """A public key: 16 hex digits that name it, and its 32 bytes in Base64."""

    id: str
    public: str

    @classmethod
    def of(cls, public: Ed25519PublicKey) -> Key:
        raw = public.public_bytes_raw()
        return cls(hashlib.sha256(raw).hexdigest()[:16], base64.b64encode(raw).decode())

    @classmethod
    def read(cls, public: str) -> Key:
        """Raises ValueError."""
        return cls.of(Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True)))

    def verifier(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(self.public))


class Keys:
    """The keys of a state folder; the first is made here. Raises ConfigError when the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.publish(Key.of(self.private().public_key()))

    def private(self) -> Ed25519PrivateKey:
        """The one that signs now."""
        return _private(self.folder / PRIVATE)

    def next(self) -> Ed25519PrivateKey:
        """The one that is to follow; it is in no use before `rotate`."""
        return _private(self.folder / _NEXT)

    def rotate(self) -> None:
        """The next one signs from now on, and the former is gone."""
        (self.folder / _NEXT).replace(self.folder / PRIVATE)
        self.publish(Key.of(self.private().public_key()))

    def following(self, identity: str) -> bool:
        """Whether the key of this id waits to be put in use: somebody was interrupted between two steps."""
        return (self.folder / _NEXT).exists() and Key.of(self.next().public_key()).id == identity

    def publish(self, key: Key) -> None:
        """Add a key to those that are known, once."""
        path = self.folder / PUBLIC
        with locked(path):
            if key.id not in {each.id for each in public_keys(path)}:
                with path.open("a", encoding="ascii") as file:
                    file.write(f"{key.id} {key.public} {moment(time.time())}\n")
                    file.flush()
                    os.fsync(file.fileno())


def public_keys(path: Path) -> list[Key]:
    """Keys as `audit.pub` has them, one a line: id, Base64, since when. Raises ConfigError, and OSError."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            key: Key | None = Key.read(words[1])
        except (ValueError, IndexError):
            key = None
        if key is None or key.id != words[0]:
            message = f"line {number} is no public key of checkpoints"
            raise key_problem(path, message, "restore the line: the id, then the key in Base64")
        found.append(key)
    return found


def by_id(keys: Iterable[Key]) -> dict[str, Ed25519PublicKey]:
    return {key.id: key.verifier() for key in keys}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file that several processes add to; it is made, for its owner only, when it is not there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _private(path: Path) -> Ed25519PrivateKey:
    content = key_in(path, _made)
    try:
        key = load_pem_private_key(content, None)
    except ValueError:
        pass
    else:
        if isinstance(key, Ed25519PrivateKey):
            return key
    raise key_problem(path, "it is no Ed25519 key in PEM", "restore it from a backup")


def _made() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
