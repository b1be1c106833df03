"""Checkpoints: when they are written, what they are worth when somebody edits them, and how keys follow each other."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from databases import Place
from evidence_parts import NOW, Log, places, some

from gateway.errors import ConfigError
from gateway.evidence.checkpoints import Checkpoint, Series, signed
from gateway.evidence.keys import PRIVATE, PUBLIC, Keys, by_id, public_keys
from gateway.trail import Wanted, oldest


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(Place(tmp_path / "toolgate.db"), tmp_path / "state")


def kinds(log: Log, kind: str) -> list[dict[str, object]]:
    return [event.data for event in oldest(log.store, Wanted(kind=kind))]


def test_one_is_written_for_so_many_events_and_when_the_time_is_over(log: Log) -> None:
    witness = log.witness(events=100, interval=3600)
    log.checkpoint(witness)
    log.write(some(350))
    witness.look()
    assert [Checkpoint.read(line).heads["main"][0] for line in log.lines()] == [100, 200, 300]
    log.checkpoint(witness)
    assert [Checkpoint.read(line).heads["main"][0] for line in log.lines()][3:] == [350]
    hasty = log.witness(events=100, interval=1)
    hasty._written -= 2
    hasty.look()
    assert len(log.lines()) == 4, "events that tell of checkpoints are no news"
    log.write(some(1))
    hasty.look()
    assert len(log.lines()) == 5
    assert not log.verify().faults


def test_what_was_altered_is_told_while_the_gateway_runs(log: Log) -> None:
    witness = log.witness(interval=3600)
    log.write(some(10))
    log.checkpoint(witness)
    log.write(some(10))
    with log.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET agent = 'eve' WHERE n = 15")
    log.checkpoint(witness)
    assert log.metrics.registry.get_sample_value("toolgate_audit_faults_total") == 1.0
    told = [data for data in kinds(log, "checkpoint") if data["what"] == "fault"]
    assert [data["where"] for data in told] == ["main/15"]
    assert places(log.verify()) == ["main/15", "main/15"], "now found, and then seen by a checkpoint"
    log.write(some(10))
    log.checkpoint(witness)
    assert log.metrics.registry.get_sample_value("toolgate_audit_faults_total") == 1.0, "once"


@pytest.mark.parametrize("way", ["flip", "delete", "first", "last", "reorder", "forge", "cut", "repeat"])
def test_edited_checkpoints_are_found(log: Log, way: str) -> None:
    for _ in range(5):
        log.write(some(10))
        log.checkpoint()
    lines = log.lines()
    edited = {
        "flip": [*lines[:2], lines[2].replace(b'"at":', b'"aT":'), *lines[3:]],
        "delete": [*lines[:2], *lines[3:]],
        "first": lines[1:],
        "last": lines[:-1],
        "reorder": [lines[0], lines[2], lines[1], *lines[3:]],
        "forge": [*lines[:-1], signed(json.loads(lines[-1].rpartition(b',"signature"')[0] + b"}"), stranger())],
        "cut": [*lines[:-1], lines[-1][:-9]],
        "repeat": [*lines[:2], lines[1], *lines[2:]],
    }[way]
    assert not log.verify(lines).faults
    report = log.verify(edited)
    assert report.faults
    if way != "last":  # that one is missed by the event that tells of it
        assert any(place.startswith("checkpoints.jsonl:") for place in places(report))


def stranger() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def test_every_bit_of_a_checkpoint_counts(log: Log) -> None:
    log.write(some(10))
    log.checkpoint()
    (line,) = log.lines()
    trusted = by_id(public_keys(log.folder / PUBLIC))
    for place in range(len(line)):
        series = Series(trusted)
        series.file("file", [line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]])
        assert series.faults, line[place : place + 20]


def test_a_line_that_a_crash_cut_off_is_removed_and_the_next_follows(log: Log) -> None:
    log.write(some(10))
    log.checkpoint()
    with log.file.path.open("ab") as file:
        file.write(log.lines()[0][:77])
    log.write(some(10))
    log.checkpoint()
    assert len(log.lines()) == 2 and not log.verify().faults


def test_a_new_key_signs_after_the_old_one_said_so(log: Log) -> None:
    log.write(some(5))
    log.checkpoint()
    old = public_keys(log.folder / PUBLIC)
    private = log.file.keys.private()
    log.file.add(NOW, "cli", Checkpoint.read(log.lines()[-1]).heads, hand_over=True)
    log.write(some(5))
    log.checkpoint()
    assert not log.verify().faults
    series = Series(by_id(old))
    series.file("file", log.lines())
    assert not series.faults, "whoever trusts the old key trusts the new one"
    body = json.loads(log.lines()[-1].rpartition(b',"signature"')[0] + b"}")
    forged = signed({**body, "key": old[0].id}, private)
    report = log.verify([*log.lines()[:-1], forged])
    assert any("had been replaced" in fault.what for fault in report.faults)


def test_a_rotation_that_was_interrupted_is_ended_by_the_next_checkpoint(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write(some(5))
    log.checkpoint()
    monkeypatch.setattr(Keys, "rotate", lambda keys: (_ for _ in ()).throw(OSError("the power went")))
    with pytest.raises(OSError, match="the power went"):
        log.file.add(NOW, "cli", {}, hand_over=True)
    monkeypatch.undo()
    log.write(some(5))
    log.checkpoint()
    assert not log.verify().faults
    assert len({Checkpoint.read(line).key for line in log.lines()}) == 2


def test_what_cannot_be_written_is_told_and_tried_again(log: Log) -> None:
    witness = log.witness()
    log.write(some(5))
    log.file.path.mkdir()
    log.checkpoint(witness)
    log.checkpoint(witness)
    assert log.metrics.registry.get_sample_value("toolgate_audit_checkpoint_ok", {"to": "file"}) == 0.0
    assert [data["what"] for data in kinds(log, "checkpoint")] == ["failed"], "once"
    log.file.path.rmdir()
    log.checkpoint(witness)
    assert log.metrics.registry.get_sample_value("toolgate_audit_checkpoint_ok", {"to": "file"}) == 1.0
    assert not log.verify().faults and log.verify().checkpoints == 1


def test_two_writers_share_one_file(log: Log) -> None:
    other = Log(log.place, log.folder)
    for _ in range(3):
        for each in (log, other):
            each.write(some(3))
            each.checkpoint()
    report = log.verify()
    assert not report.faults and report.checkpoints == 6
    other.close()


def test_events_of_before_chains_are_bound_by_checkpoints(log: Log) -> None:
    log.write(some(20))
    with log.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET chain = NULL, n = NULL, digest = NULL")
    log.store.stop()
    log = Log(log.place, log.folder)
    log.write(some(10))
    log.checkpoint()
    report = log.verify()
    assert not report.faults and (report.unchained, report.chains) == (20, {"main": (1, 11)})
    log.write(some(3))
    log.checkpoint()
    assert not log.verify().faults
    with log.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET agent = 'eve' WHERE seq = 7")
    assert places(log.verify()) == ["events of before 0.2"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Keys(tmp_path)
    assert (tmp_path / PRIVATE).stat().st_mode & 0o777 == 0o600
    (tmp_path / PRIVATE).chmod(0o640)
    with pytest.raises(ConfigError, match="others may use it"):
        Keys(tmp_path)
    (tmp_path / PRIVATE).chmod(0o600)
    (tmp_path / PRIVATE).write_bytes(b"no key")
    with pytest.raises(ConfigError, match="no Ed25519 key"):
        Keys(tmp_path)


def test_a_checkpoint_says_what_it_has_to(log: Log) -> None:
    log.write(some(2))
    log.checkpoint()
    told = orjson.loads(log.lines()[0])
    assert list(told) == ["n", "at", "writer", "heads", "previous", "key", "signature"]
    assert told["heads"]["main"][0] == 2 and told["writer"] == "one" and told["previous"] == "0" * 64


@pytest.mark.parametrize("value", [None, 5, [1], {"a": 1}, "x"])
def test_values_that_no_checkpoint_has_stop_neither_verification_nor_the_next_checkpoint(
    log: Log, value: object
) -> None:
    for _ in range(2):
        log.write(some(10))
        log.checkpoint()
    *before, last = log.lines()
    for name in orjson.loads(last):
        edited = orjson.dumps({**orjson.loads(last), name: value})
        assert log.verify([*before, edited]).faults, name
        log.file.path.write_bytes(b"\n".join([*before, edited, b""]))
        log.write(some(1))
        log.checkpoint()
        assert len(log.lines()) == 3 and log.verify().faults, name


def test_one_of_two_gateways_may_have_a_new_key(log: Log, tmp_path: Path) -> None:
    other = Log(log.place, tmp_path / "other")
    for each in (log, other):
        each.write(some(5))
        each.checkpoint()
    log.file.add(NOW, "cli", Checkpoint.read(log.lines()[-1]).heads, hand_over=True)
    for each in (log, other):
        each.write(some(5))
        each.checkpoint()
    series = Series(by_id([*public_keys(log.folder / PUBLIC), *public_keys(other.folder / PUBLIC)]))
    series.file("one", log.lines()[:2])
    series.file("other", other.lines())
    series.file("one, further", log.lines()[2:])
    assert not series.faults
    other.close()


def test_a_chain_that_vanishes_is_told_while_the_gateway_runs(log: Log) -> None:
    witness = log.witness(interval=3600)
    log.write(some(10))
    log.checkpoint(witness)
    with log.store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM events")
    told = witness.look()
    assert [json.loads(row[-1])["where"] for row in told if "fault" in row[-1]] == ["main/1"]
