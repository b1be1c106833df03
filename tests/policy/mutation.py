"""How much of the policy package its tests really hold: each mutant is the package with one thing flipped.

    python tests/policy/mutation.py [MODULE ...] [--sample N] [--seed S] [--jobs N]

Flipped are comparisons, boolean operators, negations, True and False, allow and deny, any and all, min and max,
and the operators of Casbin's matcher. A mutant is killed when a test fails. Prints the survivors and the share
killed. Each mutant runs in a fork, with the mutated module in place of the one on disk.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "gateway" / "policy"
TESTS = [
    f"test_policy_{name}.py"
    for name in (
        *("decisions", "where", "bind", "shadow", "names", "index", "csv", "extras", "loading", "model", "narrow"),
        *("fail_open", "shipped", "reference", "cedar", "agreement"),
    )
]
"""The quick ones first. What starts processes is left out: those would run the package as it is on disk."""

CLOSEST = {
    "casbin_csv": ["csv"], "enforcer": ["index", "model"], "extras": ["extras"], "files": ["loading"],
    "grant": ["decisions", "shadow", "bind"], "index": ["index"], "loader": ["loading", "csv"], "names": ["names"],
    "narrow": ["narrow", "bind"], "page": ["loading"], "policy": ["decisions", "shadow"],
    "rules": ["decisions", "loading"],
    "vocabulary": ["loading"], "where": ["where", "bind"],
}  # fmt: skip
"""The tests that most likely kill a module's mutants: they run before all others."""

SECONDS = 60
"""Of CPU time. A mutant that takes more never ends, and is killed by that."""

EQUIVALENT: dict[str, str] = {
    "loader: True -> False": "keys are put in in a fixed order, so sorting them changes no digest from load to load",
    "page: False -> True": "stands for an absent deny_all, of which only the type is asked",
    "vocabulary: True -> False": "in place of an absent value, where both are JSON; and of one reading, as below",
    "vocabulary: False -> True": "a schema that compiles in one reading compiles in the other",
}
"""Mutants that no test can kill, and why: they differ from the package in nothing that can be seen."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
NAMES = {"any": "all", "all": "any", "min": "max", "max": "min"}
VALUES: dict[Any, Any] = {"allow": "deny", "deny": "allow"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One module with one thing flipped."""

    module: str
    line: int
    change: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line}: {self.change}"

    @property
    def key(self) -> str:
        return f"{self.module}: {self.change}"


def mutants(path: Path) -> Iterator[Mutant]:
    text = path.read_text()
    for index, _ in enumerate(_flips(ast.parse(text))):
        tree = ast.parse(text)
        node, attribute, value = list(_flips(tree))[index]
        before = _first_line(node)
        setattr(node, attribute, value)
        yield Mutant(path.stem, getattr(node, "lineno", 0), f"{before} -> {_first_line(node)}", ast.unparse(tree))


def _first_line(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0]


def _flips(tree: ast.AST) -> Iterator[tuple[ast.AST, str, Any]]:
    """What can be flipped: a node, one of its attributes, and the value that flips it."""
    for node in _evaluated(tree):
        if isinstance(node, ast.Compare):
            for place, operator in enumerate(node.ops):
                flipped = [*node.ops]
                flipped[place] = COMPARISONS[type(operator)]()
                yield node, "ops", flipped
        elif isinstance(node, ast.BoolOp):
            yield node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And()
        elif isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield node, "test", ast.UnaryOp(ast.Not(), node.test)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, "operand", ast.UnaryOp(ast.Not(), node.operand)
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield node, "id", NAMES[node.id]
        elif isinstance(node, ast.Constant):
            yield from ((node, "value", value) for value in _constants(node.value))


def _constants(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if not isinstance(value, str):
        return []
    if value in VALUES:
        return [VALUES[value]]
    matchers = ("&&", "||"), ("== p", "!= p"), ("!some", "some")
    return [
        value.replace(old, new, 1) for old, new in matchers if old in value and "_p" not in value[:2] and "p_" in value
    ]


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that is run: no annotations or decorators, and no types or fields of dataclasses."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            declares = isinstance(child, ast.Subscript | ast.Call) and ast.unparse(child).startswith(
                ("Literal[", "field(")
            )
            if isinstance(child, ast.AST) and not declares:
                yield child
                yield from _evaluated(child)


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the mutated module before the one on disk."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = f"gateway.policy.{mutant.module}"
        self._source = mutant.source

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module: Any) -> None:
        exec(compile(self._source, f"<mutant of {self._name}>", "exec"), module.__dict__)


def killed(mutant: Mutant) -> bool:
    """Whether a test fails, run in a fork of this process."""
    child = os.fork()
    if child == 0:
        _run(mutant)
    return os.waitpid(child, 0)[1] != 0


def _run(mutant: Mutant) -> None:
    status = 1
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        for name in [name for name in sys.modules if name.startswith(("gateway.policy", "gateway.app"))]:
            del sys.modules[name]
        sys.meta_path.insert(0, Mutated(mutant))
        closest = [f"test_policy_{name}.py" for name in CLOSEST.get(mutant.module, [])]
        status = _tested(closest) or _tested([name for name in TESTS if name not in closest])
    finally:
        os._exit(status)


def _tested(names: list[str]) -> int:
    import pytest

    return int(
        pytest.main(["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", *(str(HERE / name) for name in names)])
    )


def survivors(chosen: Sequence[Mutant], jobs: int) -> list[Mutant]:
    with ThreadPoolExecutor(jobs) as pool:
        return [mutant for mutant, dead in zip(chosen, pool.map(_told, chosen), strict=True) if not dead]


def _told(mutant: Mutant) -> bool:
    dead = killed(mutant)
    if not dead:
        print(f"survives: {mutant}", flush=True)
    return dead


def preload() -> None:
    """Import, once for all forks, what the tests need and no mutant changes."""
    for name in ("cedarpy", "hypothesis", "jsonschema", "pytest", "gateway.app"):
        importlib.import_module(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="names of modules of the package; all when left out")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random; all when left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    paths = [path for path in sorted(PACKAGE.glob("*.py")) if path.stem in (given.modules or CLOSEST)]
    made = [mutant for path in paths for mutant in mutants(path)]
    chosen = [mutant for mutant in made if mutant.key not in EQUIVALENT]
    if given.sample:
        chosen = random.Random(given.seed).sample(chosen, given.sample)
    preload()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        whole = Mutant("rules", 0, "nothing", (PACKAGE / "rules.py").read_text())
        if killed(whole):
            print("the tests fail without any mutation, or take too long", file=sys.stderr)
            return 2
        left = survivors(chosen, given.jobs)
    for key, why in EQUIVALENT.items():
        print(f"equivalent: {key} ({why})")
    dead = len(chosen) - len(left)
    print(f"{dead} of {len(chosen)} mutants killed: {dead / len(chosen):.1%}")
    return 0 if dead / len(chosen) >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
