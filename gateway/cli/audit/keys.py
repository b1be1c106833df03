"""`toolgate audit key | rotate`: the keys that sign checkpoints."""

from __future__ import annotations

import argparse
import os
import time

from gateway.cli.files import usable_state
from gateway.cli.output import show_json
from gateway.cli.who import user
from gateway.config import load_without_servers
from gateway.events import event_row, insert_events
from gateway.evidence.checkpoints import CheckpointFile
from gateway.evidence.keeping import checkpoint_file
from gateway.evidence.keys import PUBLIC, Key, Keys, public_keys
from gateway.state import open_store

_MOST = 64
"""Characters of a name that an event takes."""


def key(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    with usable_state(config):
        keys = Keys(config.state_dir)
        signs, known = Key.of(keys.private().public_key()), public_keys(config.state_dir / PUBLIC)
    if arguments.json:
        show_json([{"id": each.id, "public": each.public, "signs": each.id == signs.id} for each in known])
        return 0
    for each in known:
        print(each.id, each.public, *(["# signs now"] if each.id == signs.id else []))
    return 0


def rotate(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    with usable_state(config):
        keys = Keys(config.state_dir)
        file, former = CheckpointFile(checkpoint_file(config), keys), Key.of(keys.private().public_key())
        last = file.last()
        heads = {} if last is None else last.heads
        written = file.add(time.time(), "cli", heads, hand_over=True)
        new = Key.of(keys.private().public_key())
        by = (arguments.by or user())[:_MOST]
        told = {"key": new.id, "previous": former.id, "checkpoint": written.n, "by": by}
        store = open_store(config)
        try:
            store.run(lambda connection: insert_events(connection, [event_row(time.time(), "key", told)]))
        finally:
            store.stop()
    if arguments.json:
        show_json({"id": new.id, "public": new.public, "previous": former.id})
        return 0
    print(f"Key {new.id} signs from now on; checkpoint {written.n}, the last that {former.id} signed, says so.")
    print(f"Keep its public half where the log is not:\n\n{new.id} {new.public}")
    return 0
