"""What the operator declares about single tools: shapes of `[servers.NAME.tools.TOOL]` in `gateway.toml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, LiteralString, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    StrictBool,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.call import Compensation, Content, Facts, Signals

Kind = Literal[
    "text", "name", "sql", "url", "path", "argv", "shell_word", "email", "html", "regex", "secret", "money"
]  # fmt: skip
Dialect = Literal["sqlite", "postgres", "mysql", "tsql", "oracle", "snowflake", "bigquery", "duckdb", "clickhouse"]

_OPTIONS: dict[str, frozenset[str]] = {
    "sql": frozenset({"dialect", "write", "tables", "functions"}),
    "url": frozenset({"schemes", "hosts"}),
    "path": frozenset({"roots"}),
    "argv": frozenset({"commands"}),
}
"""Keys beside `kind`, by kind; a kind that is not mentioned has none."""


def wrong(message: LiteralString, fix: str) -> PydanticCustomError:
    """An error of ours that a validator raises: what is wrong, and how to mend it."""
    return PydanticCustomError("toolgate", message, {"fix": fix})


def no_bool(value: Any) -> Any:
    """Let anything but true and false pass: pydantic takes them for numbers."""
    if isinstance(value, bool):
        raise wrong("must be a number, not true or false", "write a number")
    return value


Number = Annotated[PositiveFloat, BeforeValidator(no_bool)]


class Section(BaseModel):
    """A table of the file: immutable, no unknown keys, no value in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class Compensate(Section):
    """The tool of the same server that undoes a call, and its arguments.

    A value of `with_` is a literal, or a path `$.arguments.NAME` or `$.result.NAME` into the call undone.
    """

    tool: str
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")


class Argument(Section):
    """What an argument is, and so how it is checked. The other keys belong to one kind each: see `_OPTIONS`.

    None is no restriction, but for `roots`: without them a path is relative and stays below where it starts.
    """

    kind: Kind = "text"
    dialect: Dialect | None = None
    write: StrictBool = False
    tables: tuple[str, ...] | None = None
    functions: tuple[str, ...] | None = None
    schemes: tuple[str, ...] = ("https", "http")
    hosts: tuple[str, ...] | None = None
    roots: tuple[str, ...] | None = None
    commands: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        allowed = _OPTIONS.get(self.kind, frozenset())
        if foreign := sorted(self.model_fields_set - allowed - {"kind"}):
            raise wrong("has a key that its kind does not know", f"remove {', '.join(foreign)}, or change the kind")
        if self.kind == "sql" and self.dialect is None:
            raise wrong("is SQL of an unknown dialect", 'add dialect = "sqlite", or whichever the server speaks')
        if any(".." in root.split("/") or not root for root in self.roots or ()):
            raise wrong("has a root that is empty or leads upwards", "write each root as a plain folder, without ..")
        return self


class ToolFacts(Section):
    """What the operator says about one tool. `timeout` is in seconds."""

    idempotent: StrictBool = False
    read_only: StrictBool = False
    timeout: Number | None = None
    compensate: Compensate | None = None
    arguments: dict[str, Argument] = Field(default_factory=dict)
    signals: Signals = "note"
    content: Content = "trusted"

    def facts(self) -> Facts:
        secrets = frozenset(name for name, value in self.arguments.items() if value.kind == "secret")
        undo = None if self.compensate is None else Compensation(self.compensate.tool, self.compensate.with_)
        return Facts(
            idempotent=self.idempotent or self.read_only,
            timeout=self.timeout,
            secrets=secrets,
            signals=self.signals,
            content=self.content,
            read_only=self.read_only,
            compensate=undo,
        )
