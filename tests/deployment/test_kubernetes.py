"""docs/kubernetes.yaml: valid, as confined as it says, and with a configuration that the gateway takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from composition import ROOT
from databases import Place

from gateway.config import load

DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "docs/kubernetes.yaml").read_text()))
NAMED = {(document["kind"], document["metadata"]["name"]): document for document in DOCUMENTS}
PODS = {name: NAMED[kind, name]["spec"]["template"] for kind, name in NAMED if kind in ("StatefulSet", "Deployment")}
SECRETS = "/run/secrets/toolgate"


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_every_object_is_valid(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_what_is_not_valid_is_found() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**NAMED["Service", "toolgate"], "spek": {}}, "1.30", strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_confined(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["readinessProbe"]
        ports = {port["name"] for port in container["ports"]}
        probes = [container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
        used = [probe[how]["port"] for probe in probes for how in ("httpGet", "tcpSocket") if how in probe]
        assert used and set(used) <= ports
        assert not [each for each in container["env"] if "PASSWORD" in each["name"]]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claims = NAMED.get(("StatefulSet", name), {}).get("spec", {}).get("volumeClaimTemplates", [])
        assert mounted == {volume["name"] for volume in [*pod["volumes"], *(claim["metadata"] for claim in claims)]}


def test_selectors_find_their_pods() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    for (kind, name), found in {
        ("Service", "toolgate"): "toolgate",
        ("Service", "toolgate-replicas"): "toolgate",
        ("Service", "catalog"): "catalog",
    }.items():
        assert NAMED[kind, name]["spec"]["selector"].items() <= labels[found].items()
    gateways = NAMED["StatefulSet", "toolgate"]["spec"]
    assert gateways["replicas"] == 2 and gateways["serviceName"] == "toolgate-replicas"
    assert NAMED["PodDisruptionBudget", "toolgate"]["spec"]["selector"] == gateways["selector"]


def test_only_gateways_reach_tool_servers() -> None:
    policy = NAMED["NetworkPolicy", "tool-servers"]["spec"]
    selected = policy["podSelector"]["matchLabels"].items()
    assert [name for name, pod in PODS.items() if selected <= pod["metadata"]["labels"].items()] == ["catalog"]
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    allowed = peer["podSelector"]["matchLabels"].items()
    assert [name for name, pod in PODS.items() if allowed <= pod["metadata"]["labels"].items()] == ["toolgate"]
    assert policy["egress"] == [] and policy["policyTypes"] == ["Ingress", "Egress"]


def mounted(folder: Path, name: str, data: dict[str, str]) -> Path:
    """A folder as the kubelet makes it of a ConfigMap or Secret: links to files in a hidden folder."""
    inside = folder / name / "..2026_01_01_00_00_00.000000001"
    inside.mkdir(parents=True)
    for file, text in data.items():
        (inside / file).touch(mode=0o600)
        (inside / file).write_text(text)
        (folder / name / file).symlink_to(Path("..data") / file)
    (folder / name / "..data").symlink_to(inside.name)
    return folder / name


def test_the_gateway_takes_its_configuration(tmp_path: Path, postgresql: Place) -> None:
    text = NAMED["ConfigMap", "toolgate-config"]["data"]["gateway.toml"]
    keys = set(re.findall(rf"{SECRETS}/(\w+)", text))
    told = (ROOT / "docs/kubernetes.md").read_text()
    assert keys == set(re.findall(r"--from-literal=(\w+)=", told))
    assert PODS["catalog"]["spec"]["containers"][0]["env"][0]["value"] == f"{SECRETS}/catalog_key"
    secrets = mounted(tmp_path, "secrets", dict.fromkeys(keys, "ab" * 32))
    policies = mounted(tmp_path, "policies", NAMED["ConfigMap", "toolgate-policies"]["data"])
    here = text.replace(SECRETS, str(secrets)).replace("/etc/toolgate/policies", str(policies))
    here = here.replace('"/data"', f'"{tmp_path / "data"}"')
    given = {each["name"]: each.get("value", "here") for each in PODS["toolgate"]["spec"]["containers"][0]["env"]}
    loaded = load(mounted(tmp_path, "config", {"gateway.toml": here}) / "gateway.toml", given)
    assert loaded.gateway.allowed_hosts[:2] == ("toolgate:8080", "toolgate.here.svc:8080")
    assert loaded.shared == f"postgresql://toolgate:{'ab' * 32}@postgres:5432/toolgate"
    assert loaded.policies_dir == policies
    here = re.sub(r"(?m)^database = .*$", postgresql.setting, here)
    config = mounted(tmp_path, "tried", {"gateway.toml": here}) / "gateway.toml"
    command = [sys.executable, "-m", "gateway.cli", "check", "--config", str(config)]
    checked = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(r"^agents +validation$", checked.stdout, re.MULTILINE), checked.stdout


def test_keys_in_the_volume_stay_for_their_owner_when_a_pod_starts_again() -> None:
    """Without it the kubelet makes all files of a volume readable for the group, and a key that is so is refused."""
    context = PODS["toolgate"]["spec"]["securityContext"]
    assert context["fsGroup"] == context["runAsGroup"] and context["fsGroupChangePolicy"] == "OnRootMismatch"


def test_variables_of_services_do_not_reach_pods() -> None:
    """They would be called TOOLGATE_PORT and the like."""
    assert [pod["spec"]["enableServiceLinks"] for pod in PODS.values()] == [False, False]
