"""Checkpoints: signed lines that say where every chain of events ended, each bound to the line before it.

One line is `{"n", "at", "writer", "heads", "faults"?, "next"?, "previous", "key", "signature"}`. `heads` is
`{chain: [n, digest]}`, the empty name standing for events that are in no chain; `previous` is the SHA-256 of the line
before, `signature` (Ed25519, Base64) is over the line without it. A line with `next`, a key, is the last that its own
key signs. `faults` are places that were found wrong before it was written.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.chain import GENESIS
from gateway.evidence.faults import Fault
from gateway.evidence.keys import Key, Keys, locked

log = logging.getLogger("toolgate.audit")

_SIGNATURE = b',"signature":"'
_LAST = 1_048_576
"""Bytes at the end of the file in which its last line stands."""

_TYPES = {"n": int, "at": int | float, "writer": str, "previous": str, "key": str}

Heads = Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A line that was read; `digest` is its own. `signed` is what `signature` is over."""

    n: int
    at: float
    writer: str
    heads: Heads
    faults: tuple[Fault, ...]
    next: Key | None
    previous: str
    key: str
    digest: str
    signed: bytes
    signature: bytes

    @classmethod
    def read(cls, line: bytes) -> Checkpoint:
        """Raises ValueError when it is no checkpoint."""
        try:
            body, _, tail = line.rpartition(_SIGNATURE)
            told = orjson.loads(line)
            heads = {str(chain): (int(n), str(digest)) for chain, (n, digest) in told["heads"].items()}
            faults = tuple(Fault(**fault) for fault in told.get("faults", ()))
            following = Key.read(told["next"]) if "next" in told else None
            signature = base64.b64decode(tail.removesuffix(b'"}'), validate=True)
            plain = {name: told[name] for name in _TYPES}
            if not all(isinstance(plain[name], types) for name, types in _TYPES.items()):
                raise ValueError("not a checkpoint")
            return cls(
                **plain,
                heads=heads,
                faults=faults,
                next=following,
                digest=digest_of(line),
                signed=body + b"}",
                signature=signature,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a checkpoint") from error


def digest_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def signed(body: Mapping[str, Any], private: Ed25519PrivateKey) -> bytes:
    """The line, without its end, that says `body`."""
    plain = orjson.dumps(body)
    signature = base64.b64encode(private.sign(plain))
    return plain[:-1] + _SIGNATURE + signature + b'"}'


class CheckpointFile:
    """The file that checkpoints are added to, by several processes if need be, under one folder's keys."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self.path = path
        self.keys = keys

    def last(self) -> Checkpoint | None:
        """None when there is none that can be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST))
                lines = file.read().split(b"\n")
            return Checkpoint.read(lines[-2])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def add(
        self, at: float, writer: str, heads: Heads, faults: Sequence[Fault] = (), *, hand_over: bool = False
    ) -> Checkpoint:
        """Write one line, durable. `hand_over`: the next key signs from then on. Raises OSError and ConfigError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            self._mend()
            last = self.last()
            if last is not None and last.next is not None and self.keys.following(last.next.id):
                self.keys.rotate()
            private = self.keys.private()
            body: dict[str, Any] = {"n": 1 if last is None else last.n + 1, "at": at, "writer": writer, "heads": heads}
            if faults:
                body["faults"] = [fault.told() for fault in faults]
            if hand_over:
                body["next"] = Key.of(self.keys.next().public_key()).public
            body["previous"] = GENESIS if last is None else last.digest
            body["key"] = Key.of(private.public_key()).id
            line = signed(body, private)
            self._append(line + b"\n")
            if hand_over:
                self.keys.rotate()
            return Checkpoint.read(line)

    def _append(self, line: bytes) -> None:
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) < len(line):
                    raise OSError(28, os.strerror(28), str(self.path))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if new:
            sync_folder(self.path.parent)

    def _mend(self) -> None:
        """Cut off a line that was not written whole when the process ended: nobody was told of it."""
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LAST))
            tail = file.read()
            if tail and not tail.endswith(b"\n"):
                log.warning("%s: its last line was cut off, and is removed", self.path)
                file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)


def sync_folder(folder: Path) -> None:
    """Names in the folder are durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Series:
    """Checkpoints read in order, from one file or several, and what is wrong with them.

    `trusted` are the public keys that may sign, by id; those they hand over to may sign too.
    """

    def __init__(self, trusted: Mapping[str, Ed25519PublicKey]) -> None:
        self.read: list[Checkpoint] = []
        self.faults: list[Fault] = []
        self.trusted = dict(trusted)
        self._signs: dict[str, str | None] = {}
        """Of each checkpoint, by its digest: the only key that may sign the next; None where no key was replaced."""

    def file(self, name: str, lines: Iterable[bytes]) -> None:
        """The lines of one file; one that was written on another's end comes after it."""
        last: Checkpoint | None = None
        for number, line in enumerate(lines, 1):
            where = f"{name}:{number}"
            checkpoint = self._checkpoint(where, line)
            if checkpoint is None:
                continue
            follows = checkpoint.previous == last.digest if last is not None else checkpoint.previous in self._signs
            begins = last is None and checkpoint.previous == GENESIS and checkpoint.n == 1
            if not follows and not begins:
                self._wrong(
                    where, f"checkpoint {checkpoint.n} does not follow what stands before it: lines are missing"
                )
            elif last is not None and checkpoint.n != last.n + 1:
                self._wrong(where, f"checkpoint {checkpoint.n} has the wrong number")
            signs = self._signs.get(checkpoint.previous)
            self._signs[checkpoint.digest] = signs if checkpoint.next is None else checkpoint.next.id
            last = checkpoint
            self.read.append(checkpoint)
            self.faults += [
                Fault(each.where, f"{each.what} (seen by checkpoint {checkpoint.n})") for each in checkpoint.faults
            ]

    def _checkpoint(self, where: str, line: bytes) -> Checkpoint | None:
        try:
            checkpoint = Checkpoint.read(line)
        except ValueError:
            self._wrong(where, "is no checkpoint: the line was altered or cut off")
            return None
        key = self.trusted.get(checkpoint.key)
        if key is None:
            self._wrong(where, f"is signed by the key {checkpoint.key}, which is not among those that are trusted")
            return None
        try:
            key.verify(checkpoint.signature, checkpoint.signed)
        except InvalidSignature:
            self._wrong(where, "has a signature that does not fit: the line was altered")
            return None
        if self._signs.get(checkpoint.previous) not in (None, checkpoint.key):
            self._wrong(where, f"is signed by the key {checkpoint.key}, which had been replaced")
        if checkpoint.next is not None:
            self.trusted[checkpoint.next.id] = checkpoint.next.verifier()
        return checkpoint

    def _wrong(self, where: str, what: str) -> None:
        self.faults.append(Fault(where, what))


def lines_of(content: bytes) -> list[bytes]:
    """The lines of a file of checkpoints; what stands after the last line end was never told to anybody."""
    return content.split(b"\n")[:-1]
