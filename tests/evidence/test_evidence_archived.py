"""Old events go to files, and both the files and what is left stay provable."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from evidence_parts import NOW, Log, places, some
from sqlalchemy import text

from gateway.events import event_row
from gateway.evidence.archive import Archive, Broken, Transact
from gateway.evidence.lines import line_of, row_of
from gateway.evidence.rows import Rows
from gateway.story import tell


def archive(log: Log, keep: float = 3600.0, now: float = NOW + 5000) -> Archive:
    """Events of `some` are a second apart: with these, those before place 1400 are old."""
    return Archive(log.store, log.folder / "archive", keep, lambda: now)


def by_hand(log: Log) -> Transact:
    return lambda work: log.store.run(work)


def filled(log: Log, count: int = 2000) -> list[str]:
    chains = ["main", "other"] if log.store.database.postgresql else ["main"]
    for chain in chains:
        log.write(some(count), chain)
    log.checkpoint()
    return chains


def test_old_events_are_moved_and_everything_is_proved(log: Log) -> None:
    chains = filled(log)
    folder = log.folder / "archive"
    moved = archive(log).look(by_hand(log))
    assert [(each.chain, each.first, each.last) for each in moved] == [(chain, 1, 1400) for chain in chains]
    report = log.verify(archive=folder)
    assert not report.faults and not report.notes and report.archived == 1400 * len(chains)
    assert {first for first, _ in report.chains.values()} == {1401}
    lines = (folder / moved[0].file).read_bytes().splitlines()
    assert len(lines) == 1400 and row_of(lines[0])[0] == NOW
    assert not archive(log).look(by_hand(log)), "what is left is not old"
    later = archive(log, now=NOW + 5400).look(by_hand(log))
    assert [(each.first, each.last) for each in later] == [(1401, 1800)] * len(chains)
    report = log.verify(archive=folder)
    assert not report.faults and report.archived == 1800 * len(chains)
    without = log.verify()
    assert not without.faults and any("in archives that were not read" in note for note in without.notes)


def test_the_last_event_of_a_chain_stays(log: Log) -> None:
    chains = filled(log, 50)
    archive(log, now=NOW + 10**9).look(by_hand(log))
    log.write(some(3))
    report = log.verify(archive=log.folder / "archive")
    assert not report.faults
    assert set(report.chains) == {*chains}


def test_events_keep_following_the_chain_after_the_store_is_opened_again(log: Log) -> None:
    filled(log, 50)
    archive(log, now=NOW + 10**9).look(by_hand(log))
    again = Log(log.place, log.folder)
    again.write(some(5))
    again.checkpoint()
    assert not again.verify(archive=log.folder / "archive").faults
    assert again.metrics.registry.get_sample_value("toolgate_audit_faults_total") == 0.0
    again.close()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_was_interrupted_is_ended_at_the_next_look(log: Log, step: int) -> None:
    filled(log)
    done: list[int] = []

    def failing(work: object) -> None:
        done.append(1)
        if len(done) > step:
            raise OSError("the power went")
        log.store.run(work)  # type: ignore[arg-type]

    with pytest.raises(OSError, match="the power went"):
        archive(log).look(failing)
    assert not log.verify(archive=log.folder / "archive").faults, "at no time is anything amiss"
    archive(log).look(by_hand(log))
    report = log.verify(archive=log.folder / "archive")
    assert not report.faults and {first for first, _ in report.chains.values()} == {1401}


def test_half_a_file_that_a_crash_left_is_removed_when_nobody_writes_it_any_more(log: Log) -> None:
    filled(log)
    folder = log.folder / "archive"
    folder.mkdir()
    for name, age in (("left", 90_000), ("written", 10)):
        (folder / f".main.{name}.part").write_bytes(b"{")
        os.utime(folder / f".main.{name}.part", (time.time() - age,) * 2)
    archive(log).look(by_hand(log))
    assert [path.name for path in folder.glob(".*")] == [".main.written.part"]


def test_nothing_is_archived_that_is_not_what_was_written(log: Log) -> None:
    filled(log)
    with log.store.engine.begin() as connection:
        connection.execute(text("UPDATE events SET tool = 'other' WHERE chain = 'main' AND n = 700"))
    with pytest.raises(Broken, match="main/700"):
        archive(log).look(by_hand(log))
    assert log.verify().chains["main"][0] == 1
    assert not [*(log.folder / "archive").iterdir()]


@pytest.mark.parametrize("way", ["flip", "delete", "swap", "cut", "insert"])
def test_edited_archives_are_found(log: Log, way: str) -> None:
    filled(log)
    (moved, *_) = archive(log).look(by_hand(log))
    path = log.folder / "archive" / moved.file
    lines = path.read_bytes().splitlines(keepends=True)
    edited = {
        "flip": [*lines[:9], lines[9].replace(b"SKU-9", b"SKU-8"), *lines[10:]],
        "delete": [*lines[:9], *lines[10:]],
        "swap": [*lines[:9], lines[10], lines[9], *lines[11:]],
        "cut": [*lines[:9], lines[9][:50]],
        "insert": [*lines[:9], lines[3], *lines[9:]],
    }[way]
    path.write_bytes(b"".join(edited))
    report = log.verify(archive=path.parent)
    assert any("is not the file" in fault.what for fault in report.faults)
    if way not in ("insert", "cut"):
        assert "main/10" in places(report)


def test_dropping_events_and_saying_that_they_were_archived_is_found(log: Log) -> None:
    filled(log)
    with log.store.engine.begin() as connection:
        row = connection.execute(text("SELECT n, digest FROM events WHERE chain = 'main' AND n = 100")).one()
        connection.execute(text("DELETE FROM events WHERE chain = 'main' AND n <= 100"))
        into = "INSERT INTO anchors (chain, n, digest, at) VALUES ('main', :n, :digest, 1.0)"
        connection.execute(text(into), {"n": row.n, "digest": row.digest})
    assert places(log.verify()) == ["main/100"]


def test_an_archive_that_is_gone_is_told(log: Log, tmp_path: Path) -> None:
    filled(log)
    archive(log, now=NOW + 4000).look(by_hand(log))
    archive(log).look(by_hand(log))
    for path in (log.folder / "archive").glob("*-000000000001-*"):
        path.rename(tmp_path / path.name)
    report = log.verify(archive=log.folder / "archive")
    assert not report.faults and any("events 1 to 400 of chain main" in note for note in report.notes)


def often_archived(log: Log) -> list[Path]:
    """Files of an archive, what names the first of them having been archived itself."""
    log.write(some(600))
    for now in (NOW + 3800, NOW + 4000, NOW + 10**6, NOW + 2 * 10**6):
        archive(log, now=now).look(by_hand(log))
        log.write(some(10, now))
        log.checkpoint()
    return sorted((log.folder / "archive").iterdir())


def test_archives_are_proved_when_those_before_them_were_moved_elsewhere(log: Log) -> None:
    files = often_archived(log)
    report = log.verify(archive=log.folder / "archive")
    assert not report.faults and not report.notes
    for path in files[:3]:
        content = path.read_bytes()
        path.unlink()
        report = log.verify(archive=log.folder / "archive")
        assert not report.faults, path.name
        assert any("in archives that were not read" in note for note in report.notes)
        if path is files[1]:
            path.write_bytes(content)  # from here on one is missing in the middle


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"seq":6,', b'"seq":9,'),
        (b'"tool":"note"', b'"tool":"refund","tool":"note"'),
        (b'"n":6,', b'"n":null,'),
        (b'"chain":"main","n":6,', b'"chain":null,"n":null,'),
        (b'"chain":"main","n":6,', b'"chain":null,"n":6,'),
    ],
)
def test_archives_that_are_named_by_events_in_later_ones_are_compared_with_them(
    log: Log, was: bytes, becomes: bytes
) -> None:
    first = often_archived(log)[0]
    lines = first.read_bytes().splitlines(keepends=True)
    assert was in lines[5]
    first.write_bytes(b"".join([*lines[:5], lines[5].replace(was, becomes), *lines[6:]]))
    assert any("is not the file" in fault.what for fault in log.verify(archive=first.parent).faults)


def test_files_that_no_event_tells_of_are_told(log: Log) -> None:
    first = often_archived(log)[0]
    lines = first.read_bytes().splitlines(keepends=True)
    (first.parent / "zz.jsonl").write_bytes(lines[0].replace(b"SKU-0", b"SKU-1"))
    report = log.verify(archive=first.parent)
    assert not report.faults and report.notes == ["zz.jsonl is named by no event that was read"]


@pytest.mark.parametrize("way", ["twice", "no chain", "before chains"])
def test_lines_that_no_export_has_are_found(log: Log, way: str) -> None:
    log.write(some(20))
    log.checkpoint()
    with log.store.database.connect() as connection:
        lines = [line_of(row) for row in Rows(connection).after("main", 0, 100)]
    assert not log.verification().of_lines("export", lines).faults
    apart = lines[4].replace(b'"chain":"main","n":5,', b'"chain":null,"n":5,')
    edited = {
        "twice": [*lines[:4], lines[4].replace(b'"tool":', b'"tool":"refund","tool":'), *lines[5:]],
        "no chain": [*lines[:4], apart, *lines[4:]],
        "before chains": [apart.replace(b'"n":5,', b'"n":null,'), *lines],
    }[way]
    assert log.verification().of_lines("export", edited).faults


def test_a_run_of_which_only_an_end_is_left_has_no_story(log: Log) -> None:
    outcome = {"outcome": "ok", "ms": 1.0, "result": None}
    log.write([event_row(NOW, "outcome", outcome, call="c", agent="ada", server="shop", tool="note", run="R-9")])
    assert tell(log.store, "ada", "R-9") is None
