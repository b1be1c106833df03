"""`toolgate audit verify`: whether the log is what was written, and if not, where."""

from __future__ import annotations

import argparse
import os
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from gateway.cli.files import usable_state
from gateway.cli.output import one_line, show_json
from gateway.config import Config, load_without_servers
from gateway.errors import ConfigError, Problem
from gateway.evidence.checkpoints import Series, digest_of, lines_of
from gateway.evidence.keeping import archive_folder, checkpoint_file, is_url
from gateway.evidence.keys import PUBLIC, by_id, public_keys
from gateway.evidence.verify import Report, Verification
from gateway.state import open_store
from gateway.times import moment

_TIMEOUT = 30.0


def verify(arguments: argparse.Namespace) -> int:
    report = _of_export(arguments) if arguments.export else _of_store(arguments)
    if arguments.json:
        show_json({**asdict(report), "checkpoint": moment(report.checkpoint), "ok": not report.faults})
    else:
        _tell(report)
    return 1 if report.faults else 0


def _of_store(arguments: argparse.Namespace) -> Report:
    config = load_without_servers(arguments.config, os.environ)
    with usable_state(config):
        keys = arguments.key or config.state_dir / PUBLIC
        places = arguments.checkpoint or [str(checkpoint_file(config))]
        folder = arguments.archive or archive_folder(config)
        if arguments.archive is not None and not folder.is_dir():
            raise _cannot(str(folder), "is no folder", "name the folder that the archive is in")
        # Before the events: there are more of them then, never fewer.
        series = _series(places, keys, bool(arguments.checkpoint))
        store = open_store(config)
        try:
            here = Verification(series, lambda: _digests(places), folder.glob("*.jsonl"))
            return here.of_store(store.database)
        finally:
            store.stop()


def _of_export(arguments: argparse.Namespace) -> Report:
    config: Config | None = None
    if arguments.key is None or not arguments.checkpoint:
        config = load_without_servers(arguments.config, os.environ)
    keys = arguments.key or (config.state_dir / PUBLIC if config else None)
    places = arguments.checkpoint or ([str(checkpoint_file(config))] if config else [])
    assert keys is not None
    series = _series(places, keys, bool(arguments.checkpoint))
    name = arguments.export
    with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as lines:
        return Verification(series, lambda: _digests(places)).of_lines(name, lines)


def _series(places: Sequence[str], keys: Path, named: bool) -> Series:
    """The checkpoints in these places; those that nobody named need not be there yet."""
    known = keys.exists()
    series = Series(by_id(public_keys(keys)) if known else {})
    for place in places:
        content = _content(place, named)
        if content and not known:
            raise _cannot(str(keys), "is not there, so nobody can tell whose the checkpoints are", "name it with --key")
        series.file(place, lines_of(content))
    return series


def _digests(places: Sequence[str]) -> set[str]:
    return {digest_of(line) for place in places for line in lines_of(_content(place, False))}


def _content(place: str, must: bool) -> bytes:
    """What is in a file or at an address. Raises ConfigError."""
    try:
        if is_url(place):
            with urllib.request.urlopen(place, timeout=_TIMEOUT) as answer:
                content: bytes = answer.read()
                return content
        return Path(place).read_bytes()
    except FileNotFoundError:
        if must:
            raise _cannot(place, "is not there", "name a file of checkpoints") from None
        return b""
    except OSError as error:
        raise _cannot(place, f"cannot be read ({error})", "name a file, or an address that serves one") from None


def _cannot(place: str, why: str, fix: str) -> ConfigError:
    return ConfigError([Problem("toolgate audit verify", place, why, fix)])


def _tell(report: Report) -> None:
    for fault in report.faults:
        print(f"WRONG  {one_line(fault.where)}  {one_line(fault.what)}")
    for note in report.notes:
        print(f"note   {one_line(note)}")
    if report.faults or report.notes:
        print()
    for chain, (first, last) in sorted(report.chains.items()):
        print(f"chain {one_line(chain)}: events {first} to {last}")
    if report.unchained:
        print(f"{report.unchained} events of before 0.2 are in no chain")
    if report.archived:
        print(f"{report.archived} events in archives")
    if report.checkpoint is not None:
        since = f"; {report.unwitnessed} of the events came after it" if report.unwitnessed else ""
        many = "1 checkpoint" if report.checkpoints == 1 else f"{report.checkpoints} checkpoints"
        print(f"{many}, the last of {moment(report.checkpoint)}{since}")
    verdict = f"Wrong places: {len(report.faults)}." if report.faults else "All of it is what was written."
    print(f"{report.events} events in {report.seconds:.1f} s. {verdict}")
