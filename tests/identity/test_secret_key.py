"""The key of the gateway is made once, for its owner only, and never used when others could read it."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from databases import Place

from gateway.config import load
from gateway.errors import ConfigError
from gateway.secret import secret_key
from gateway.state import State, open_store


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


def named(tmp_path: Path, mode: int, owner: int) -> Path:
    path = tmp_path / "given.key"
    path.write_text("ab" * 32 + "\n")
    path.chmod(mode)
    os.chown(path, owner, -1)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o600, 0o644])
def test_a_file_that_a_platform_mounts_may_be_readable_by_more_than_its_owner(tmp_path: Path, mode: int) -> None:
    assert secret_key(tmp_path, named(tmp_path, mode, 12345)) == bytes.fromhex("ab" * 32)
    assert not (tmp_path / "secret.key").exists()


@pytest.mark.parametrize(("mode", "owner"), [(0o440, -1), (0o644, -1), (0o664, 12345), (0o646, 12345), (0o744, 12345)])
def test_a_named_file_that_others_may_use_is_refused(tmp_path: Path, mode: int, owner: int) -> None:
    if owner != -1 and os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    with pytest.raises(ConfigError, match="others may use it"):
        secret_key(tmp_path, named(tmp_path, mode, owner))


def test_a_named_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it cannot be read: No such file.*openssl rand -hex 32"):
        secret_key(tmp_path, tmp_path / "given.key")


def test_gateways_of_one_database_must_have_one_key(postgresql: Place, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.toml").write_text(f"[gateway]\n{postgresql.setting}\n")
    one, two, three = (load(tmp_path / name / "gateway.toml", {}) for name in ("one", "two", "three"))
    State(one).close()
    with pytest.raises(ConfigError, match=r"gateway.secret: is not the key with which this database was first used"):
        State(two)
    with pytest.raises(ConfigError, match=r"gateway.secret"):
        open_store(two)
    shared = {"secret": "../one/var/secret.key"}
    State(load(three.path, {}, shared)).close()
    assert not (tmp_path / "three/var/secret.key").exists()
