from __future__ import annotations

import threading

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from servers import inventory
from servers.database import ATTEMPTS, Conflict, Database, changed, retried


def test_a_file_is_seeded_once_and_keeps_its_changes(tmp_path):
    path = tmp_path / "new" / "inventory.db"
    for expected in (40, 30, 20):
        database = Database(path, inventory.SCHEMA)
        assert inventory.Inventory(database).check_stock("LAMP-01").available == expected
        inventory.Inventory(database).reserve_inventory("LAMP-01", 10, "O-1")
        database.close()


def test_processes_that_open_a_new_file_at_once_seed_it_once(tmp_path):
    opened: list[Database] = []
    threads = [
        threading.Thread(target=lambda: opened.append(Database(tmp_path / "x.db", inventory.SCHEMA))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    assert opened[0].row("SELECT count(*) FROM stock")[0] == 4
    for database in opened:
        database.close()


def test_a_failed_transaction_leaves_nothing_behind(databases):
    database = databases(inventory.SERVER)

    def fail() -> None:
        with database.transaction() as tx:
            tx.execute("UPDATE stock SET available = 0")
            raise Conflict

    with pytest.raises(Conflict):
        fail()
    assert database.row("SELECT min(available) FROM stock")[0] == 12


def test_two_connections_to_one_file_do_not_lose_each_others_changes(tmp_path):
    shared = [Database(tmp_path / "x.db", inventory.SCHEMA) for _ in range(2)]

    def take(database: Database) -> None:
        for _ in range(15):
            inventory.Inventory(database).reserve_inventory("MUG-04", 1, "O-1")

    threads = [threading.Thread(target=take, args=(database,)) for database in shared]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inventory.Inventory(shared[0]).check_stock("MUG-04").available == 270
    for database in shared:
        database.close()


def test_a_write_to_a_row_changed_meanwhile_is_a_conflict(databases):
    update = "UPDATE stock SET available = 1, version = version + 1 WHERE sku = 'MUG-04' AND version = ?"
    with databases(inventory.SERVER).transaction() as tx:
        changed(tx.execute(update, (1,)))
        with pytest.raises(Conflict):
            changed(tx.execute(update, (1,)))


def test_a_change_that_always_conflicts_ends_in_an_error_for_the_model():
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise Conflict

    with pytest.raises(ToolError, match=r"nothing was done\. Try again"):
        retried(attempt)
    assert len(attempts) == ATTEMPTS
