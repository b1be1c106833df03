"""docker-compose.yml, the Dockerfile and what they mount: valid, and as confined as the documentation says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from composition import ROOT, image_environment, loaded
from databases import missing
from jsonschema import Draft7Validator

from servers import PORTS

FILE = loaded({})
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
GATEWAYS = ("gateway-1", "gateway-2")
SCHEMA = Path(__file__).with_name("compose-spec.json")
"""The Compose specification's own, of github.com/compose-spec/compose-spec at 170098b (Apache License 2.0)."""


def test_the_compose_file_is_what_the_specification_says() -> None:
    schema = json.loads(SCHEMA.read_text())
    Draft7Validator.check_schema(schema)
    errors = Draft7Validator(schema).iter_errors(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
    wrong = Draft7Validator(schema).iter_errors({"services": {"one": {"imagine": "x"}}})
    assert [error.message for error in wrong]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert "test" in service["healthcheck"] or "profiles" in service
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"]), "a version, and no registry"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_what_it_needs_and_nothing_more(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert volume.endswith(":ro") and (ROOT / source).exists(), volume
        else:
            assert source in FILE["volumes"]
    secrets = set(service.get("secrets", []))
    assert secrets <= set(FILE["secrets"])
    if name in PORTS:
        assert secrets == {f"{name}_key"}
    if name in GATEWAYS:
        used = set(re.findall(r"/run/secrets/(\w+)", (ROOT / "docs/deployment/gateway.toml").read_text()))
        assert secrets == used
    for key, value in service.get("environment", {}).items():
        is_secret = re.search(r"KEY|PASSWORD|SECRET|TOKEN", key)
        assert not is_secret or value is None or value.startswith("/run/secrets/"), f"{key} is in the file"


def test_only_gateways_reach_tool_servers_and_the_database() -> None:
    members: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for network in service["networks"]:
            members.setdefault(network, set()).add(name)
    assert members["tools"] == {*GATEWAYS, *PORTS}
    assert members["data"] == {*GATEWAYS, "postgres"}
    assert members["gateways"] == {*GATEWAYS, "balancer", "prometheus"}
    assert {name for name, facts in FILE["networks"].items() if not (facts or {}).get("internal")} == {"front"}


def test_no_secret_has_a_default() -> None:
    for name, secret in FILE["secrets"].items():
        assert secret == {"file": f"./var/secrets/{name}"}


def test_secrets_are_made_once_and_for_their_owner(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    command = ["make", "-s", "secrets"]
    environ = {**os.environ, "TOOLGATE_SECRETS": str(folder)}
    for _ in range(2):
        subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
        made = {path.name: path.read_text() for path in folder.iterdir()}
        assert set(made) == set(FILE["secrets"])
        assert len(set(made.values())) == len(made)
        assert all(re.fullmatch("[0-9a-f]{64}", text) for text in made.values())
        (folder / "catalog_key").unlink()
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    assert kept == {name: text for name, text in made.items() if name != "catalog_key"}


def test_tools_are_declared_as_in_the_checkout() -> None:
    def servers(file: str) -> dict[str, Any]:
        facts = tomllib.loads((ROOT / file).read_text())["servers"]
        places = ("url", "headers", "credentials")
        return {
            name: {
                **{key: value for key, value in server.items() if key not in places},
                "credentials": sorted(server.get("credentials", {})),
            }
            for name, server in facts.items()
        }

    assert servers("docs/deployment/gateway.toml") == servers("gateway.toml")


def test_the_image_has_all_that_it_runs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY ([^-].*) \S+$", text, re.MULTILINE) for name in line.split()}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    environment = image_environment()
    assert environment["TOOLGATE_CONFIG"] == "/etc/toolgate/gateway.toml"
    assert not [name for name in environment if re.search("KEY|SECRET|PASSWORD|TOKEN", name)]
    for name in GATEWAYS:
        assert str(SERVICES[name]["healthcheck"]["test"][-1]) in text


def test_the_balancer_takes_its_configuration() -> None:
    if shutil.which("haproxy") is None:
        missing("it is not installed", "haproxy")
    file = ROOT / "docs/deployment/haproxy.cfg"
    checked = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    text = (ROOT / "docs/deployment/prometheus.yml").read_text()
    assert [target.split(":")[0] for target in re.findall(r'"(gateway-[^"]+)"', text)] == [*GATEWAYS]
    alerts = re.search(r"/etc/prometheus/toolgate/(\S+)\]", text)
    assert alerts is not None
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace(alerts[0][:-1], str(ROOT / "gateway/dashboards" / alerts[1])))
    checked = subprocess.run(["promtool", "check", "config", str(file)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
