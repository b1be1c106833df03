"""The tables of the store: one log, and what is known because of it. `gateway.store` says how they are written.

Times are seconds since the epoch. What is `sealed` is encrypted (`gateway.sealed`): it may hold secrets. No column has
a length: PostgreSQL would refuse what SQLite takes, and whoever writes a value bounds it. A change here takes a
revision in `gateway.migrations` too.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

_SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself where the key is an INTEGER and nothing else."""

versions = Table(
    "versions",
    metadata,
    Column("topic", String, primary_key=True),
    Column("n", BigInteger, nullable=False),
)
"""Grows with each change of a topic: see `gateway.changes`."""

events = Table(
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
    Column("chain", String),
    Column("n", BigInteger),
    Column("digest", String),
    Index("events_place", "chain", "n", unique=True).ddl_if(dialect="postgresql"),
)
"""Append-only, so `seq` grows and no number comes twice. `data` is a JSON object; see `gateway.audit` for kinds.
`n` is the place in `chain`, from 1 on, and `digest` what `gateway.chain` makes of it; NULL in events of before 0.2.
On SQLite there is no index besides `seq`: each would cost every commit another page."""

tokens = Table(
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
"""`digest` is HMAC-SHA256 of the whole token, hex; `claims` is a JSON object."""

pins = Table(
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
"""A tool's definition in force, NULL for one never accepted, and the one offered instead, NULL when there is none.

`revision` grows with each change of the row.
"""

reviewers = Table(
    "reviewers",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
)
"""Tokens of people who decide; `id` and `digest` as in `tokens`. Somebody may have several."""

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String, primary_key=True),
    Column("token", String, nullable=False),
    Column("name", String, nullable=False),
    Column("expires", Float, nullable=False),
)
"""Reviewers who are signed in at the console: SHA-256 of what their cookie holds, hex, and the token they came with."""

tickets = Table(
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
"""Calls that wait for people, and what became of them: see `gateway.approvals.ticket`.

`revision` is the version of the topic `tickets` that the row was last changed with.
"""

notices = Table(
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
"""Notifications to be delivered, written with what they tell of. `due` is NULL once delivered or given up."""

calls = Table(
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
    Column("reads", Boolean),
    Column("shown", Text, nullable=False),
    Column("reply", Text),
    Index("calls_key", "agent", "key", unique=True),
    Index("calls_state", "state", "at"),
)
"""Calls that must not run twice, or that nobody knows whether they ran: see `gateway.ledger`.

`state` is open (under way in the process `owner`), done, undone since, unknown, or lost (unknown, which does not matter
to anybody). `key` is NULL where a repeat is another call, `reads` true where it changes nothing. `shown` are the
arguments as people may see them, JSON; `reply` is the sealed result. A call that had no effect leaves no row.
"""

accounts = Table(
    "accounts",
    metadata,
    Column("account", String, primary_key=True),
    Column("window", String, primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
"""What was spent and is reserved of a limit or budget in one window; `at` is when it last changed."""

reservations = Table(
    "reservations",
    metadata,
    Column("call", String, primary_key=True),
    Column("account", String, primary_key=True),
    Column("window", String, nullable=False),
    Column("amount", BigInteger, nullable=False),
)
"""Amounts in `accounts` that a call under way, or one of unknown outcome, may give back."""

runs = Table(
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
"""Runs of agents: see `gateway.runs`. `lease` is in seconds, NULL for a run that may rest as long as it likes."""

steps = Table(
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
"""What can be undone of a run, in the order it was done: the tool `undo` of the same server, its arguments sealed.

`state` is sent (under way, or nobody knows whether it ran), done, undone, stuck (`ticket` asks people) or settled (by
them, by hand). `attempts` to undo it were made; the next is not before `due`.
"""

switches = Table(
    "switches",
    metadata,
    Column("agent", String, primary_key=True),
    Column("by", String, nullable=False),
    Column("at", Float, nullable=False),
)
"""Agents in read-only mode; the empty name is the whole gateway."""

replicas = Table(
    "replicas",
    metadata,
    Column("owner", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("address", Text),
    Column("policy", String),
    Column("started", Float, nullable=False),
    Column("beat", Float, nullable=False),
    Column("left", Float),
    Index("replicas_name", "name"),
)
"""Gateway processes that share this database: see `gateway.replicas`. `owner` as in `calls`; `beat` is when it was last
heard of, `left` when it was stopped in good order."""

duties = Table(
    "duties",
    metadata,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("until", Float, nullable=False),
)
"""What one replica does for all: which, and until when it has it unless it says so again."""

breakers = Table(
    "breakers",
    metadata,
    Column("server", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("owner", String, nullable=False),
)
"""Circuit breakers as the replica that last changed one has it."""

anchors = Table(
    "anchors",
    metadata,
    Column("chain", String, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Column("at", Float, nullable=False),
)
"""Where the events of each chain begin that are still in the store: the last event before them, which is archived."""

about = Table("about", metadata, Column("name", String, primary_key=True), Column("value", Text, nullable=False))
"""The database itself: `oldest` is the first revision whose releases can use it, `secret` tells the right key."""
