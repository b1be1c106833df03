"""A database of any age is brought to what this release needs, by whoever comes first, and loses nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import Place
from sqlalchemy import Engine, Table, create_engine, event, insert, make_url, select

from gateway import migrations
from gateway.errors import ConfigError
from gateway.migrate import HEAD, migrate
from gateway.tables import metadata

SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))
REVISIONS = list(reversed(list(SCRIPTS.walk_revisions())))
FIRST = REVISIONS[0].module.metadata
"""The tables as release 0.1 had them."""
ADDS = re.compile(
    r"SELECT|PRAGMA|BEGIN|COMMIT|CREATE (UNIQUE )?(TABLE|INDEX)|INSERT INTO|UPDATE alembic_version|DELETE FROM about"
    r"|ALTER TABLE \w+ ADD COLUMN \w+ (BIGINT|VARCHAR|TEXT|FLOAT|BOOLEAN)$|DROP INDEX IF EXISTS events_call$"
)
OPEN = """
import sys
from pathlib import Path
from gateway.store import Store
sys.stdin.readline()
Store(Path(sys.argv[1]), url=sys.argv[2] or None).stop()
"""


@pytest.fixture
def engine(database: Place) -> Iterator[Engine]:
    """The database as it is: opening a store would bring it further."""
    url = make_url(database.url).set(drivername="postgresql+psycopg") if database.url else f"sqlite:///{database.path}"
    engine = create_engine(url)
    yield engine
    engine.dispose()


def filled(table: Table, number: int) -> dict[str, Any]:
    """A row of the table, other values for other numbers."""
    made: dict[type, Any] = {str: f"{table.name} {number}", int: number, float: number + 0.5, bool: number % 2 == 0}
    return {column.name: made[column.type.python_type] for column in table.columns}


def fill(engine: Engine) -> None:
    """The tables of release 0.1 as it left them, which kept no number of them, with three rows in each."""
    FIRST.create_all(engine)
    with engine.begin() as connection:
        for table in FIRST.sorted_tables:
            connection.execute(insert(table), [filled(table, number) for number in range(1, 4)])


def told(database: Place) -> str:
    with pytest.raises(ConfigError) as caught:
        database.open()
    return str(caught.value)


def test_the_last_revision_is_the_one_that_the_release_needs() -> None:
    assert SCRIPTS.get_current_head() == HEAD
    assert [each.revision for each in REVISIONS] == [f"{number + 1:04}" for number in range(len(REVISIONS))]
    assert all(each.module.oldest <= each.revision for each in REVISIONS)


def test_revisions_lead_to_the_tables_of_the_code(database: Place, engine: Engine) -> None:
    """Where this fails, a change of `gateway.tables` has no revision, or another one, in `gateway/migrations`."""
    migrate(engine)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    if database.url is None:  # only PostgreSQL keeps an index of places
        found = [each for each in found if not (each[0] == "add_index" and each[1].name == "events_place")]
    assert found == []


def test_revisions_only_add(engine: Engine) -> None:
    done: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _, __, statement, *___: done.append(statement.strip()))
    migrate(engine)
    assert len(done) > len(metadata.tables)
    assert [statement for statement in done if not ADDS.match(statement)] == []


def test_nothing_of_release_0_1_is_lost(database: Place, engine: Engine) -> None:
    fill(engine)
    for _ in range(2):
        database.open().stop()
    with engine.connect() as connection:
        for table in FIRST.sorted_tables:
            rows = [dict(row._mapping) for row in connection.execute(select(table))]
            assert sorted(rows, key=str) == sorted((filled(table, number) for number in range(1, 4)), key=str)
    versions = {row["topic"]: row["n"] for row in database.rows("versions")}
    assert versions.pop("tickets") == 3, "what is changed next must be seen as a change"
    assert set(versions.values()) == {0}


def test_of_several_that_open_it_at_once_all_can(database: Place, engine: Engine) -> None:
    fill(engine)
    command = [sys.executable, "-c", OPEN, str(database.path), database.url or ""]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
    said = [child.communicate(timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0] * 4, said
    assert len(database.rows("versions")) == len({row["topic"] for row in database.rows("versions")}) > 0


def test_a_database_that_a_later_release_brought_further_is_used_where_that_one_says_so(database: Place) -> None:
    database.open().stop()
    database.execute("UPDATE alembic_version SET version_num = '9001'")
    database.open().stop()
    database.execute("UPDATE about SET value = '9001' WHERE name = 'oldest'")
    assert "is at revision 9001 and needs a release that knows 9001" in told(database)


def test_the_tables_of_another_application_are_left_alone(database: Place) -> None:
    database.open().stop()
    database.execute("UPDATE alembic_version SET version_num = 'ae1027a6acf'")
    assert "holds the tables of another application" in told(database)


def test_a_database_that_is_up_to_date_is_opened_without_the_machinery_of_revisions(database: Place) -> None:
    database.open().stop()
    code = OPEN + "assert 'alembic' not in sys.modules"
    command = [sys.executable, "-c", code, str(database.path), database.url or ""]
    subprocess.run(command, input=b"\n", check=True, timeout=60)
