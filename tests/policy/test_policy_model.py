"""The Casbin model decisions rely on loads as it is, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import casbin
import pytest
from policy_files import MODEL, only, page, problems

Write = Callable[[Mapping[str, str | bytes]], Path]

GOOD = page("agent", "a", [("allow", {"tool": "payment/charge"})])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" && !some(where (p.eft == deny))", ""),
        ("some(where (p.eft == allow)) && ", ""),
        ("some(where (p.eft == allow)) && !some(where (p.eft == deny))", "priority(p.eft) || deny"),
        (" && holds(r.ctx, p.rule)", ""),
        ("seg(r.tool, p.tool)", "regexMatch(r.tool, p.tool)"),
        ("seg(r.srv, p.srv) && ", ""),
        ("g(r.sub, p.sub) && ", ""),
        ("g(r.sub, p.sub) &&", 'r.sub == "root" || g(r.sub, p.sub) &&'),
        ("holds(r.ctx, p.rule)", "(holds(r.ctx, p.rule)"),
        ("eft, rule", "efft, rule"),
        ("act, ctx", "act"),
        ("g = _, _", "g = _, _, _"),
        ("[matchers]", "[matcher]"),
        ("[policy_effect]", "[policy_efect]"),
        ("m = g", "m2 = g"),
        ("m = g", "m = eval(p.rule) && g"),
        ("[matchers]", "[matchers]\nm = true\n[other]"),
        ("g = _, _", "g = _, _\ng2 = _, _"),
    ],
)
def test_a_changed_model_does_not_load_and_the_difference_is_told(write: Write, old: str, new: str) -> None:
    assert old in MODEL
    found = problems(write({"a.toml": GOOD, "model.conf": MODEL.replace(old, new)}))
    assert all("decisions rely on" in problem.message for problem in found)
    assert all(("remove" in problem.fix) is ("rely on missing" in problem.message) for problem in found)
    assert all("is missing" in problem.message or 'is "' in problem.message for problem in found)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf" + MODEL.encode(), b"nonsense", MODEL.encode()[:200]])
def test_a_broken_model_does_not_load(write: Write, content: bytes) -> None:
    assert all(
        problem.file.endswith(("model.conf", "model.conf:1"))
        for problem in problems(write({"a.toml": GOOD, "model.conf": content}))
    )


def test_a_missing_model_does_not_load(write: Write) -> None:
    folder = write({"a.toml": GOOD})
    (folder / "model.conf").unlink()
    assert "cannot be read" in only(folder).message


def test_exactly_one_casbin_is_installed() -> None:
    from importlib.metadata import packages_distributions

    assert packages_distributions()["casbin"] == ["pycasbin"]
    assert casbin.Enforcer is not None
