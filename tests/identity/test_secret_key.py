"""The key of the gateway is made once, for its owner only, and never used when others could read it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.identity import secret_key


def problem(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        secret_key(folder)
    return str(caught.value)


def test_it_is_made_on_first_use_and_kept(tmp_path: Path) -> None:
    key = secret_key(tmp_path)
    assert len(key) == 32
    assert secret_key(tmp_path) == key
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    secret_key(tmp_path / "run" / "state")
    assert stat.S_IMODE((tmp_path / "run" / "state").stat().st_mode) == 0o700


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    secret_key(tmp_path)
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700, 0o644, 0o777])
def test_a_key_that_others_may_use_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    key = secret_key(tmp_path)
    (tmp_path / "secret.key").chmod(mode)
    told = problem(tmp_path)
    assert f"{mode:04o}" in told
    assert f"chmod 600 {tmp_path}/secret.key" in told
    assert key.hex() not in told


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_of_its_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    key = secret_key(tmp_path)
    (tmp_path / "secret.key").chmod(mode)
    assert secret_key(tmp_path) == key


@pytest.mark.parametrize("content", ["", "abcd", "z" * 64, "a" * 63, "a" * 66, "a" * 200, "\u00e9" * 64])
def test_a_damaged_key_is_refused_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret.key"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    assert "is not 64 hexadecimal digits" in problem(tmp_path)
    assert path.read_text(encoding="utf-8") == content


def test_of_many_that_start_at_once_all_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: secret_key(tmp_path / "state"), range(32)))
    assert len(keys) == 1
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["secret.key"]
