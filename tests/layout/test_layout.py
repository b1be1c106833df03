"""The shape of the code base: which file may import which, and how large anything may grow."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "servers", "agents")

FLOORS = (
    ("errors", "call", "terms"),
    (
        *(
            "chain",
            "changes",
            "hints",
            "database",
            "config",
            "config_checks",
            "facts",
            "interpolate",
            "keyfile",
            "store",
            "metrics",
            "logs",
            "lock",
            "migrate",
            "migrations",
            "sdk",
            "settings",
            "strict",
            "texts",
            "secret",
        ),
        *("aside", "bearer", "tables", "writer", "events", "sealed", "times", "trail", "traces"),
    ),
    (
        *("identity", "policy", "catalog", "credentials", "audit", "rules", "pins", "admission"),
        *(
            "approvals",
            "budgets",
            "fingerprint",
            "ledger",
            "runs",
            "reviewers",
            "modes",
            "state",
            "confidence",
            "story",
            "telling",
            "evidence",
            "breakers",
            "replicas",
        ),
    ),
    ("controls",),
    ("upstream", "order"),
    ("mcp_face", "admin", "own", "bridge"),
    (
        *("app", "connections", "serving", "cli", "__main__", "__init__"),
        *("registration", "candidate", "reload", "unknown_names", "publication", "gauges", "probes"),
    ),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

ORDER = [
    "measure",
    "audit",
    "throttle",
    "authorize",
    "bind",
    "validate",
    "sanitize",
    "dedupe",
    "guard",
    "gate",
    "reserve",
    "intent",
    "deadline",
    "retry",
    "breaker",
    "bulkhead",
    "credential",
]


def sources(*folders: str) -> list[Path]:
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts
    )


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(module: str) -> str:
    """`gateway.policy.rules` belongs to `policy`."""
    return module.split(".")[1] if "." in module else "__init__"


def test_the_three_packages_meet_over_mcp_only() -> None:
    for package in PACKAGES:
        others = tuple(other for other in PACKAGES if other != package)
        for path in sources(package):
            crossing = [name for name in imports(path) if name.split(".")[0] in others]
            assert not crossing, f"{path} imports {crossing}"


def test_every_part_of_the_gateway_stands_on_a_floor() -> None:
    parts = {path.relative_to(ROOT / "gateway").parts[0].removesuffix(".py") for path in sources("gateway")}
    assert parts == set(FLOOR_OF)


def test_imports_point_down() -> None:
    for path in sources("gateway"):
        own = path.relative_to(ROOT / "gateway").parts[0].removesuffix(".py")
        for name in imports(path):
            if name.startswith("gateway.") and part(name) != own:
                assert FLOOR_OF.get(part(name), 0) <= FLOOR_OF[own], f"{path} imports {name}, which is above it"


def test_no_control_imports_another() -> None:
    for path in sources("gateway/controls"):
        assert not [name for name in imports(path) if name.startswith("gateway.controls")], path


def test_casbin_has_one_door() -> None:
    doors = {path.relative_to(ROOT).parts[:2] for path in sources("gateway") if "casbin" in imports(path)}
    assert doors == {("gateway", "policy")}


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests", "bench"), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    lines = len(text.splitlines())
    assert lines <= 300, f"{path}: {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 50, f"{path}:{node.lineno}: {node.name} has {length} lines"


def test_the_order_of_controls_is_pinned() -> None:
    from gateway.order import describe

    assert [name for name, _ in describe()] == ORDER
    assert all(reason for _, reason in describe())


def test_help_and_version_import_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys, gateway.cli\n"
        "heavy = {'mcp', 'pydantic', 'casbin', 'aiohttp', 'sqlalchemy', 'starlette', 'uvicorn'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
