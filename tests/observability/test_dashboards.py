"""Dashboards and alert rules speak of metrics that exist, fit what loads them, and fire when they should."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from boards import FOLDER, NAMES, Query, board, metrics_in, panels, program, queries, rules
from processes import finish

from gateway.cli import main
from gateway.metrics import Metrics

TESTS = Path(__file__).with_name("alerts_test.yml")
DOCS = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()


def exposed() -> set[str]:
    """The names under which metrics are exposed."""
    names = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
    for family in Metrics().registry.collect():
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + ending for ending in endings}
    return names


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: f"{query.board}: {query.panel}")
def test_what_a_panel_asks_for_exists(query: Query) -> None:
    assert metrics_in(query.filled) and metrics_in(query.filled) <= exposed()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_what_a_rule_asks_for_exists_and_it_says_what_to_do(rule: dict[str, Any]) -> None:
    assert metrics_in(rule["expr"]) <= exposed() and (metrics_in(rule["expr"]) or rule["expr"].startswith("up{"))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    assert f"| `{rule['alert']}` | {rule['labels']['severity']} |" in DOCS
    assert rule["alert"] in TESTS.read_text()


def test_no_metric_is_left_out_of_all_dashboards_and_rules() -> None:
    shown = {name for query in queries() for name in metrics_in(query.filled)}
    shown |= {name for rule in rules() for name in metrics_in(rule["expr"])}
    for family in Metrics().registry.collect():
        if family.name.startswith("toolgate_") and family.name not in NOT_SHOWN:
            assert any(name.startswith(family.name) for name in shown), family.name


NOT_SHOWN = {"toolgate_deduplicated", "toolgate_read_only"}
"""What is looked up when it is asked for."""


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_whole(name: str) -> None:
    made = board(name)
    everything = made["panels"]
    assert made["uid"] == name.removesuffix(".json") and made["title"].startswith("Toolgate: ")
    assert len({panel["id"] for panel in everything}) == len(everything)
    titles = [panel["title"] for panel in panels(name)]
    assert all(panel["description"].endswith(".") for panel in panels(name)) and all(titles)
    for panel in panels(name):
        targets = panel["targets"]
        assert {"prometheus"} == {each["datasource"]["type"] for each in (panel, *targets)}
        assert {"${datasource}"} == {each["datasource"]["uid"] for each in (panel, *targets)}
        assert len({target["refId"] for target in targets}) == len(targets)
    places = [panel["gridPos"] for panel in everything]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


def test_the_command_writes_all_that_ships(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    assert main(["dashboards", "export", str(folder)]) == 0
    shipped = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == shipped
    assert sorted(capsys.readouterr().out.split()) == sorted(str(folder / name) for name in shipped)
    assert {*NAMES, "alerts.yml", "prometheus.yml", "README.md"} == set(shipped)
    assert all(f"`{name}`" in DOCS for name in shipped)


def test_the_command_says_why_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["dashboards", "export", str(tmp_path / "file")]) == 1
    assert "toolgate dashboards: " in capsys.readouterr().err


def test_prometheus_takes_the_configuration_with_its_rules(tmp_path: Path) -> None:
    promtool = program("promtool")
    assert main(["dashboards", "export", str(tmp_path)]) == 0
    checked = finish([promtool, "check", "config", str(tmp_path / "prometheus.yml")], 60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(rules())} rules found" in checked.stdout


def test_the_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    promtool = program("promtool")
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    shutil.copy(TESTS, tmp_path)
    tried = finish([promtool, "test", "rules", str(tmp_path / TESTS.name)], 60)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_a_rule_that_never_fires_is_found(tmp_path: Path) -> None:
    """The rules' own tests can fail: with one rule dulled they do."""
    promtool = program("promtool")
    text = (FOLDER / "alerts.yml").read_text()
    shutil.copy(TESTS, tmp_path)
    for sharp, dull in (
        ("toolgate_store_ok == 0", "toolgate_store_ok == 7"),
        (">= 0.9", ">= 9"),
        ("for: 2m", "for: 2h"),
    ):
        (tmp_path / "alerts.yml").write_text(text.replace(sharp, dull))
        assert finish([promtool, "test", "rules", str(tmp_path / TESTS.name)], 60).returncode == 1, sharp
