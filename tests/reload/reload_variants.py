"""A policy folder in versions that are good, and in very many that are not."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

MODEL = (Path(__file__).parents[2] / "policies/model.conf").read_text()
OTHER = 'agent = "other"\ndescription = "May do little."\nroles = ["reader"]\n'
READER = 'role = "reader"\ndescription = "Reads."\n[[allow]]\ntool = "shop/look"\n'

Break = Callable[[Path, random.Random], None]


def page(bound: int) -> str:
    """The agent `buyer`: may pay at most `bound`."""
    return (
        'agent = "buyer"\ndescription = "Pays."\n\n'
        '[[deny]]\ntool = "shop/hidden"\n\n'
        f'[[allow]]\ntool = "shop/pay"\nwhere = {{ amount = {{ maximum = {bound}, minimum = 0 }} }}\n'
    )


def restore(folder: Path, bound: int) -> None:
    """Make the folder good, whatever was there."""
    for path in (*folder.iterdir(), folder):
        if path.is_dir() and not path.is_symlink() and path != folder:
            shutil.rmtree(path)
        elif path != folder:
            path.unlink()
    (folder / "roles").mkdir()
    for name, text in {"model.conf": MODEL, "other.toml": OTHER, "roles/reader.toml": READER}.items():
        (folder / name).write_text(text)
    (folder / "buyer.toml").write_text(page(bound))


def _truncated(folder: Path, chance: random.Random) -> None:
    text = page(chance.randrange(100, 10_000))
    inside = text.index("where = {") + len("where = {")  # cut before, it could be another good policy
    (folder / "buyer.toml").write_text(text[: chance.randrange(inside, len(text) - 2)])


def _text(make: Callable[[str], str]) -> Break:
    def change(folder: Path, chance: random.Random) -> None:
        (folder / "buyer.toml").write_text(make(page(chance.randrange(100, 10_000))))

    return change


def _bytes(make: Callable[[bytes], bytes]) -> Break:
    def change(folder: Path, chance: random.Random) -> None:
        (folder / "buyer.toml").write_bytes(make(page(chance.randrange(100, 10_000)).encode()))

    return change


def _sparse(folder: Path, chance: random.Random) -> None:
    with (folder / "buyer.toml").open("r+b") as file:
        file.truncate(100 * 1024 * 1024)


def _loop(folder: Path, chance: random.Random) -> None:
    (folder / "buyer.toml").unlink()
    (folder / "buyer.toml").symlink_to("twin.toml")
    (folder / "twin.toml").symlink_to("buyer.toml")


def _outside(folder: Path, chance: random.Random) -> None:
    aside = folder.parent / "elsewhere.toml"
    aside.write_text(page(9999))
    (folder / "buyer.toml").unlink()
    (folder / "buyer.toml").symlink_to(aside)


def _directory(folder: Path, chance: random.Random) -> None:
    (folder / "buyer.toml").unlink()
    (folder / "buyer.toml").mkdir()


def _fifo(folder: Path, chance: random.Random) -> None:
    (folder / "buyer.toml").unlink()
    os.mkfifo(folder / "buyer.toml")


def _file(name: str, text: str) -> Break:
    def change(folder: Path, chance: random.Random) -> None:
        (folder / name).write_text(text)

    return change


def _gone(name: str) -> Break:
    def change(folder: Path, chance: random.Random) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


FAILS = '[[test]]\nagent = "buyer"\ntool = "shop/pay"\narguments = { amount = 1 }\nexpect = "deny"\n'
BROKEN: dict[str, Break] = {
    "truncated": _truncated,
    "truncated again": _truncated,
    "empty": _text(lambda text: ""),
    "blank": _text(lambda text: "\n \n"),
    "byte order mark": _bytes(lambda text: b"\xef\xbb\xbf" + text),
    "UTF-16": _bytes(lambda text: text.decode().encode("utf-16")),
    "not UTF-8": _bytes(lambda text: text.replace(b"Pays", b"P\xe4ys")),
    "NUL": _bytes(lambda text: text + b"\0"),
    "unknown key": _text(lambda text: text.replace("where", "were")),
    "unknown key of the file": _text(lambda text: "owner = 1\n" + text),
    "bad effect": _text(lambda text: text.replace("[[deny]]", "[[Deny]]")),
    "effect twice": _text(lambda text: text.replace("[[deny]]", "[deny]")),
    "unbalanced": _text(lambda text: text.replace("} }", "}")),
    "key twice": _text(lambda text: text + "where = {}\n"),
    "rule twice": _text(lambda text: text + text[text.index("[[allow]]") :]),
    "another name": _text(lambda text: text.replace('"buyer"', '"buyers"')),
    "no such server": _text(lambda text: text.replace("shop/pay", "shops/pay")),
    "a glob inside": _text(lambda text: text.replace("shop/pay", "shop/*pay")),
    "unknown condition": _text(lambda text: text.replace("maximum", "maximun")),
    "a condition of another type": _text(lambda text: text.replace("minimum = 0", 'minimum = "0"')),
    "an agent deleted whose credentials stand in the configuration": _gone("buyer.toml"),
    "a role deleted": _gone("roles"),
    "a role broken": _file("roles/reader.toml", READER[:-3]),
    "a role of that name missing": _file("other.toml", OTHER.replace("reader", "writer")),
    "model deleted": _gone("model.conf"),
    "model widened": _file("model.conf", MODEL.replace("&& !some(where (p.eft == deny))", "")),
    "model cut": _file("model.conf", MODEL[:40]),
    "tests that fail": _file("tests.toml", FAILS),
    "tests that cannot be read": _file("tests.toml", FAILS[:20]),
    "100 MB": _sparse,
    "a loop of symlinks": _loop,
    "a symlink out of the folder": _outside,
    "a folder in place of a file": _directory,
    "a pipe in place of a file": _fifo,
}


def variants(count: int, seed: int) -> Iterator[tuple[str, Break]]:
    """Names and breakages: all kinds in turn, in another order each time."""
    chance = random.Random(seed)
    kinds = list(BROKEN.items())
    while True:
        chance.shuffle(kinds)
        for kind in kinds:
            if count == 0:
                return
            count -= 1
            yield kind
