"""The tables of release 0.1, and what databases of its first days lack of them."""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)
from sqlalchemy.schema import CreateColumn

revision = "0001"
down_revision = None
oldest = "0001"

_SERIAL = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()
Table(
    "events",
    metadata,
    Column("seq", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("call", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("server", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("run", String),
    Column("reason", String),
    Column("data", Text, nullable=False),
)
Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("agent", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("claims", Text),
)
Table(
    "pins",
    metadata,
    Column("server", String, primary_key=True),
    Column("tool", String, primary_key=True),
    Column("digest", String),
    Column("definition", Text),
    Column("offered_digest", String),
    Column("offered", Text),
    Column("why", String),
    Column("at", Float, nullable=False),
    Column("revision", Integer, nullable=False),
)
Table(
    "reviewers",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
)
Table(
    "sessions",
    metadata,
    Column("digest", String, primary_key=True),
    Column("token", String, nullable=False),
    Column("name", String, nullable=False),
    Column("expires", Float, nullable=False),
)
Table(
    "tickets",
    metadata,
    Column("id", String, primary_key=True),
    Column("revision", BigInteger, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("why", String),
    Column("agent", String, nullable=False),
    Column("token", String, nullable=False),
    Column("server", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("call", String, nullable=False),
    Column("run", String),
    Column("key", String),
    Column("rule", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("schema", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("edited", String),
    Column("sealed", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("confidence", Float),
    Column("reason", Text),
    Column("words", Text),
    Column("approvers", Integer, nullable=False),
    Column("decisions", Text, nullable=False),
    Column("tiers", Text, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("escalates", Float),
    Column("opened", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("decided", Float),
    Index("tickets_joined", "agent", "key"),
    Index("tickets_alike", "fingerprint"),
    Index("tickets_state", "state", "expires"),
)
Table(
    "notices",
    metadata,
    Column("id", String, primary_key=True),
    Column("ticket", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Float),
    Index("notices_due", "due"),
    Index("notices_ticket", "ticket", "kind"),
)
Table(
    "calls",
    metadata,
    Column("id", String, primary_key=True),
    Column("agent", String, nullable=False),
    Column("key", String),
    Column("fingerprint", String, nullable=False),
    Column("server", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("run", String),
    Column("ticket", String),
    Column("state", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("idempotent", Boolean, nullable=False),
    Column("shown", Text, nullable=False),
    Column("reply", Text),
    Index("calls_key", "agent", "key", unique=True),
    Index("calls_state", "state", "at"),
)
Table(
    "accounts",
    metadata,
    Column("account", String, primary_key=True),
    Column("window", String, primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
Table(
    "reservations",
    metadata,
    Column("call", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("window", String, nullable=False),
    Column("amount", BigInteger, nullable=False),
)
Table(
    "runs",
    metadata,
    Column("agent", String, primary_key=True),
    Column("run", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("opened", Float, nullable=False),
    Column("touched", Float, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("lease", Float),
    Column("why", String),
    Index("runs_state", "state"),
)
Table(
    "steps",
    metadata,
    Column("seq", _SERIAL, primary_key=True, autoincrement=True),
    Column("call", String, nullable=False, unique=True),
    Column("agent", String, nullable=False),
    Column("run", String, nullable=False),
    Column("server", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("undo", String, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Float, nullable=False),
    Column("ticket", String),
    Index("steps_run", "agent", "run"),
    Index("steps_state", "state"),
)
Table(
    "switches",
    metadata,
    Column("agent", String, primary_key=True),
    Column("by", String, nullable=False),
    Column("at", Float, nullable=False),
)


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    _complete(connection)


def _complete(connection: Connection) -> None:
    """Release 0.1 kept no number of its tables, and added columns as it went: they are nullable."""
    present = inspect(connection)
    for table in metadata.sorted_tables:
        known = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                definition = CreateColumn(column).compile(connection)
                op.execute(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
    op.execute("DROP INDEX IF EXISTS events_call")
