"""Events in chains, versions of topics, and what replicas that share a database keep there."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Float, String, Text, column, insert, table, text

revision = "0002"
down_revision = "0001"
oldest = "0002"

_TOPICS = ("tokens", "pins", "tickets", "reviewers", "switches", "breakers", "policies")


def upgrade() -> None:
    for added in (Column("chain", String), Column("n", BigInteger), Column("digest", String)):
        op.add_column("events", added)
    op.add_column("calls", Column("reads", Boolean))
    if op.get_context().dialect.name == "postgresql":
        op.create_index("events_place", "events", ["chain", "n"], unique=True)
    _add_versions()
    _add_replicas()
    op.create_table(
        "anchors",
        Column("chain", String, primary_key=True),
        Column("n", BigInteger, nullable=False),
        Column("digest", String, nullable=False),
        Column("at", Float, nullable=False),
    )
    op.create_table("about", Column("name", String, primary_key=True), Column("value", Text, nullable=False))


def _add_versions() -> None:
    op.create_table("versions", Column("topic", String, primary_key=True), Column("n", BigInteger, nullable=False))
    versions = table("versions", column("topic"), column("n"))
    largest = op.get_bind().execute(text("SELECT max(revision) FROM tickets")).scalar_one() or 0
    seeds = [{"topic": topic, "n": largest if topic == "tickets" else 0} for topic in _TOPICS]
    op.get_bind().execute(insert(versions), seeds)


def _add_replicas() -> None:
    op.create_table(
        "replicas",
        Column("owner", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("address", Text),
        Column("policy", String),
        Column("started", Float, nullable=False),
        Column("beat", Float, nullable=False),
        Column("left", Float),
    )
    op.create_index("replicas_name", "replicas", ["name"])
    op.create_table(
        "duties",
        Column("name", String, primary_key=True),
        Column("owner", String, nullable=False),
        Column("until", Float, nullable=False),
    )
    op.create_table(
        "breakers",
        Column("server", String, primary_key=True),
        Column("state", String, nullable=False),
        Column("since", Float, nullable=False),
        Column("owner", String, nullable=False),
    )
