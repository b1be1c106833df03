"""Spans of what the gateway does, as OpenTelemetry's conventions for MCP name them. Never an argument or a result.

A request's `_meta` says which trace it belongs to (`traceparent`, `tracestate`); what goes to an upstream says so too.
With `traces.endpoint` unset there are no spans: then the caller's own `traceparent` is passed on as it came.
The tracer is the gateway's own, not OpenTelemetry's global one: libraries that find a global one make spans too.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from importlib.metadata import version
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.errors import ConfigError, Problem, Refused
from gateway.settings import TraceSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Attributes = Mapping[str, str | int | float | bool]

_CONTEXT = TraceContextTextMapPropagator()
_FIELDS = ("traceparent", "tracestate")
_QUEUE = 8192
"""Spans that wait to be sent; more are dropped, and cost nobody anything."""
_PATIENCE = 2.0
"""Seconds that a collector has to take a batch of spans."""


class Span:
    """One span. As a block it stands around whatever runs inside of it, and ends with it."""

    __slots__ = ("_before", "_of", "_tracer")

    def __init__(self, tracer: Tracer, of: OtelSpan) -> None:
        self._tracer = tracer
        self._of = of
        self._before: Token[Span | None] | None = None

    def child(self, name: str, kind: SpanKind, attributes: Attributes) -> Span:
        """To be ended by whoever asks for it."""
        context = set_span_in_context(self._of, Context())
        return Span(self._tracer, self._tracer.start_span(name, context, kind, attributes))

    def carried(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        """`meta`, saying that what is asked with it belongs to this span."""
        carrier = {key: value for key, value in meta.items() if key not in _FIELDS}
        _CONTEXT.inject(carrier, set_span_in_context(self._of, Context()))
        return carrier

    def end(self, error: str = "") -> None:
        """`error` is one of a few words; empty where all went well."""
        if error:
            self._of.set_attribute("error.type", error)
            self._of.set_status(Status(StatusCode.ERROR))
        self._of.end()

    def enter(self) -> None:
        """From here on it is the span that others are inside of, until `leave`."""
        self._before = _here.set(self)

    def leave(self) -> None:
        if self._before is not None:
            _here.reset(self._before)

    def __enter__(self) -> Span:
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.leave()
        # The words of an error may quote what a caller sent; its reason, or its type, does not.
        self.end("" if kind is None else error.reason if isinstance(error, Refused) else kind.__name__)


_here: ContextVar[Span | None] = ContextVar("toolgate_span", default=None)
_NOTHING: AbstractContextManager[None] = nullcontext()


def here() -> Span | None:
    """The span around what runs now; None where nothing is recorded."""
    return _here.get()


def span(name: str) -> AbstractContextManager[Span | None]:
    """A span of the gateway's own inside of the one around it. Where there is none it costs next to nothing."""
    around = _here.get()
    return _NOTHING if around is None else around.child(name, SpanKind.INTERNAL, {})


class Traces:
    """Begins the span of each request. `tracer` None: there are no spans."""

    def __init__(self, tracer: Tracer | None = None, provider: TracerProvider | None = None) -> None:
        self._tracer = tracer
        self._provider = provider

    @property
    def on(self) -> bool:
        return self._tracer is not None

    def request(self, name: str, meta: Mapping[str, Any], attributes: Attributes) -> Span | None:
        """The span of one request of an agent, in the trace that its `_meta` names; None when it is not recorded."""
        if self._tracer is None:
            return None
        carrier = {key: meta[key] for key in _FIELDS if isinstance(meta.get(key), str)}
        context = _CONTEXT.extract(carrier, Context())
        of = self._tracer.start_span(name, context, SpanKind.SERVER, attributes)
        return Span(self._tracer, of) if of.is_recording() else None

    def close(self) -> None:
        """Send what is left. Blocks while the collector takes it, at most two seconds."""
        if self._provider is not None:
            last = Thread(target=self._provider.shutdown, daemon=True)
            last.start()
            last.join(_PATIENCE)


def traces(settings: TraceSettings, replica: str) -> Traces:
    """What the configuration asks for. `replica` is the name of this process. Raises ConfigError."""
    if settings.endpoint is None:
        return Traces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        problem = "needs an exporter, which is not installed"
        fix = "install toolgate[otlp], or remove the key"
        raise ConfigError([Problem("gateway.toml", "traces.endpoint", problem, fix)]) from None
    ours = {"service.name": "toolgate", "service.version": version("toolgate"), "service.instance.id": replica}
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.share)),
        resource=Resource.create(ours),
        shutdown_on_exit=False,
    )
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    exporter = OTLPSpanExporter(settings.endpoint, headers=headers, timeout=_PATIENCE)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
    return Traces(provider.get_tracer("toolgate", version("toolgate")), provider)
