"""Events computed again, one after another: each must stand in its place, be what was written, and follow its chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.chain import GENESIS, Head, digest_of
from gateway.evidence.faults import Fault
from gateway.evidence.rows import CHAIN, DIGEST, MAIN, SEQ, N, Row, unchained_after

_MOST = 10
"""Faults that are told of one chain."""
START = Head(0, GENESIS, 0)
"""Where a chain stands before its first event."""

Witnessed = Mapping[str, Mapping[int, tuple[str, str]]]
"""Of each chain, by place: the digest that somebody saw there, and who (`checkpoint 7`)."""


class Walk:
    """Goes through events of any number of chains; those of one chain have to come in its order.

    `heads` is where chains are known to begin, any other begins at its first event. A place that is found wrong is
    told, and believed from there on, so that what is wrong further on is found too. `numbered`: `seq` and the place in
    the one chain grow together, as they do on SQLite.
    """

    def __init__(self, heads: Mapping[str, Head], witnessed: Witnessed, *, numbered: bool = False) -> None:
        self.heads = dict(heads)
        self.faults: list[Fault] = []
        self.unchained = START
        self.events = 0
        self._witnessed = witnessed
        self._numbered = numbered
        self._offset: int | None = None
        self._told: dict[str, int] = {}
        self._chained = False

    def go(self, rows: Iterable[Row]) -> None:
        heads, witnessed, numbered = self.heads, self._witnessed, self._numbered
        for row in rows:
            self.events += 1
            *_, chain, n, digest, seq = row
            if chain is None and n is None:
                self._alone(row)
                continue
            self._chained = True
            head = heads.get(chain, START)
            if n == head[0] + 1:
                if _digest(head[1], row) != digest:
                    self._wrong(chain, n, "is not what was written: its digest does not fit what it says")
                heads[chain] = Head(n, digest, seq)
            else:
                heads[chain] = self._misplaced(chain, head, row)
            if numbered:
                self._check_number(chain, n, seq)
            seen = witnessed.get(chain)
            if seen is not None and n in seen and seen[n][0] != digest:
                self._wrong(chain, n, f"is another event than {seen[n][1]} has seen, or one before it is")

    def end(self) -> None:
        """No event comes any more: what was witnessed and did not come is missing."""
        for chain, seen in self._witnessed.items():
            head = self.heads.get(chain, START)
            beyond = min((n for n in seen if n > head.n), default=None)
            if beyond is not None:
                there = f"ends at {head.n}" if head.n else "is not there at all"
                told = f"is missing, and all that follow: {seen[beyond][1]} has seen {beyond}, but the chain {there}"
                self._wrong(chain, head.n + 1, told)

    def _alone(self, row: Row) -> None:
        """An event of before 0.2."""
        if self._chained:
            self.faults.append(Fault(f"seq {row[SEQ]}", "was inserted: it is in no chain, and comes after one that is"))
            return
        try:
            self.unchained = unchained_after(self.unchained, row)
        except _NO_EVENT:
            self.faults.append(Fault(f"seq {row[SEQ]}", "holds what no event holds"))

    def _misplaced(self, chain: Any, head: Head, row: Row) -> Head:
        n = row[N]
        if not isinstance(n, int) or not isinstance(chain, str):
            self._wrong(chain, n, "has no place that a chain could give it")
            return head
        if n <= head.n:
            self._wrong(chain, n, f"stands in the wrong place: it comes after {head.n}")
            return head
        gone = f"{head.n + 1} is" if n == head.n + 2 else f"{head.n + 1} to {n - 1} are"
        self._wrong(chain, head.n + 1, f"is missing: {gone} gone, after {head.n} comes {n}")
        return Head(n, row[DIGEST], row[SEQ])

    def _check_number(self, chain: Any, n: Any, seq: int) -> None:
        if chain != MAIN:
            self._wrong(chain, n, "was inserted: there is no such chain here")
        elif isinstance(n, int):
            offset = seq - n
            if self._offset is not None and offset != self._offset:
                self._wrong(chain, n, f"has the wrong number: its seq is {seq}")
            self._offset = offset

    def _wrong(self, chain: Any, n: object, what: str) -> None:
        told = self._told[chain] = self._told.get(chain, 0) + 1
        if told <= _MOST:
            more = "; there is more in this chain, which is not told" if told == _MOST else ""
            self.faults.append(Fault(f"{chain}/{n}", what + more))


_NO_EVENT = (TypeError, AttributeError, UnicodeError)
"""What is raised for values that no event has: somebody put them there."""


def _digest(previous: str, row: Row) -> str | None:
    try:
        return digest_of(previous, row[CHAIN], row[N], row[:CHAIN])
    except _NO_EVENT:
        return None


def linked(head: Head, rows: Sequence[Row]) -> Head:
    """How far rows of one chain follow `head`."""
    for row in rows:
        if row[N] != head.n + 1 or _digest(head.digest, row) != row[DIGEST]:
            break
        head = Head(row[N], row[DIGEST], row[SEQ])
    return head
