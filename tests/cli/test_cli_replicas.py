"""`toolgate replicas` where there are none: on a file."""

from __future__ import annotations

from desk import Desk


def test_a_file_has_no_replicas_and_that_is_told(desk: Desk) -> None:
    done = desk.run("replicas")
    assert done.returncode == 0, done.stderr
    assert "one gateway works with" in done.stdout
    assert desk.run("replicas", "--json").stdout == "[]\n"
