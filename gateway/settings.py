"""The tables of `gateway.toml` but for those of servers: the shape of each setting, and its default."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PositiveInt, SecretStr, model_validator

from gateway.facts import Number, Section, no_bool, wrong

Count = Annotated[PositiveInt, BeforeValidator(no_bool)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(no_bool)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(no_bool)]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_HOUR = 3600.0


class GatewaySection(Section):
    """Where the gateway listens and where its files are. Port 0 takes a free one; sizes are in bytes.

    `secret` is the file of the gateway's key; None: it is in the folder `state`, and made there.
    `database` is the URL of a PostgreSQL database; it may have a password in it, so it is not shown. `replica` is the
    name of this process among those that share it, `address` where the others reach it. A client has `client_timeout`
    seconds to send a request, and to take an answer.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    policies: str = "policies"
    state: str = "var"
    secret: str | None = None
    database: SecretStr | None = None
    replica: str | None = None
    address: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    client_timeout: Number = 30.0
    max_connections: Count = 4096
    max_body: Count = 1_048_576
    max_result: Count = 1_048_576
    page_size: Count = 200
    ask_timeout: Number = 300.0
    log_format: Literal["auto", "console", "json"] = "auto"
    log_calls: Literal["none", "failed", "all"] = "failed"

    @property
    def hosts(self) -> tuple[str, ...]:
        """`Host` values that are let in beside loopback's: other replicas send that of `address`."""
        return self.allowed_hosts if self.address is None else (*self.allowed_hosts, urlsplit(self.address).netloc)


class Throttle(Section):
    """Requests per agent, whatever their method: a token bucket."""

    per_second: Number = 500.0
    burst: Count = 1000


class BreakerSettings(Section):
    """Per upstream: opens at `failures` among the last `window` attempts, probes after `cooldown` seconds."""

    window: Count = 20
    failures: Count = 5
    cooldown: Number = 2.0

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.failures > self.window:
            raise wrong("would never open: failures is more than window", "lower failures or raise window")
        return self


class RetrySettings(Section):
    """Of idempotent tools: attempts in all, full jitter in seconds, retries allowed per call (`budget`)."""

    attempts: Count = 3
    base: Number = 0.05
    cap: Number = 2.0
    budget: Share = 0.1

    @model_validator(mode="after")
    def _cap_above_base(self) -> Self:
        if self.cap < self.base:
            raise wrong("has a cap below its base", "raise cap or lower base")
        return self


class Webhook(Section):
    """Where notices go, signed with `secret` (Standard Webhooks: `whsec_` and Base64 of 24 to 64 bytes).

    The address may have a secret in it, so it is not shown.
    """

    url: str = Field(repr=False)
    secret: SecretStr


class ApprovalSettings(Section):
    """How calls wait for people, in seconds: `hold` an open request, telling it so every `progress`.

    A ticket expires `expires` after it was opened where its rule does not say, and people are told `remind` before.
    At most `pending` tickets of one agent wait at a time.
    `console` is the address of the console as reviewers reach it, for links; without it there are none.
    """

    hold: Number = 45.0
    progress: Number = 12.0
    expires: Number = 86_400.0
    remind: Number = 900.0
    pending: Count = 100
    console: str | None = None
    webhook: Webhook | None = None


class AuditSettings(Section):
    """Checkpoints go to the file or URL `checkpoints`, every `interval` seconds and every `events` events.

    `results`: what an outcome event holds of a result besides its digest. Events older than `keep` seconds are moved
    to files in the folder `archive`; None: they stay.
    """

    checkpoints: str = "checkpoints.jsonl"
    interval: Number = 60.0
    events: Count = 1000
    results: Literal["digest", "preview", "whole"] = "preview"
    keep: Number | None = None
    archive: str = "archive"

    @model_validator(mode="after")
    def _safe(self) -> Self:
        url = urlsplit(self.checkpoints)
        if url.scheme not in ("", "https") and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise wrong(
                "has checkpoints at an address that is not https", 'write it like "https://...", or name a file'
            )
        if self.keep is not None and self.keep < _HOUR:
            raise wrong("would archive events of calls that are under way", "keep them for an hour (3600) or longer")
        return self


class TraceSettings(Section):
    """Spans go to the OTLP collector at `endpoint` over HTTP, a `share` of those that no caller decided on."""

    endpoint: str | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    share: Share = 1.0

    @model_validator(mode="after")
    def _endpoint_is_http(self) -> Self:
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise wrong(
                "has an endpoint that is no HTTP address", 'write for example "http://127.0.0.1:4318/v1/traces"'
            )
        return self


class RunSettings(Section):
    """`keep`: seconds for which the reply to a call with a key is kept. Steps of a rollback are tried `attempts` times,
    with full jitter between `base` and `cap` seconds.
    """

    keep: Number = 604_800.0
    attempts: Count = 16
    base: Number = 0.5
    cap: Number = 60.0
