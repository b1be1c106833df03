"""Policy folders written from plain values, and the policies loaded from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from policy_files import MODEL, SERVERS, Rule, page

from gateway.policy import Policy, load


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str | bytes]], Path]:
    """A new policy folder with these files beside the model of the repository."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        folder = tmp_path_factory.mktemp("policies")
        for name, content in {"model.conf": MODEL, **files}.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write


@pytest.fixture(scope="session")
def build(write: Callable[[Mapping[str, str | bytes]], Path]) -> Callable[..., Policy]:
    """The policy of one agent, "a", with these rules; `roles` maps role names to their rules."""

    def build(*rules: Rule, roles: Mapping[str, Sequence[Rule]] | None = None, **keys: Any) -> Policy:
        roles = roles or {}
        files = {"a.toml": page("agent", "a", rules, list(roles), **keys)}
        files |= {f"roles/{name}.toml": page("role", name, granted) for name, granted in roles.items()}
        return load(write(files), SERVERS)

    return build
