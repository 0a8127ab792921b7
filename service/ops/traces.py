"""Distributed tracing: W3C trace context in and out, and spans of OpenTelemetry where they are asked for.

Without a tracer a span costs one look-up, and a trace that comes in is named in the log and in the answer.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

TRACEPARENT: Final = "traceparent"
FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
NOTHING: Final[AbstractContextManager[Any]] = nullcontext()

_tracer: ContextVar[Any] = ContextVar("clpips_tracer", default=None)  # of the request that is being answered


class Parent(NamedTuple):
    """What a `traceparent` says: the trace, the span that asks, and flags, in hex."""

    trace: str
    span: str
    flags: str


def parse_traceparent(text: str) -> Parent | None:
    """None for what is no trace context (W3C, Trace Context Level 1), which is then as if it were not there."""
    match = FORM.fullmatch(text.strip())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    if not int(match[2], 16) or not int(match[3], 16):
        return None
    return Parent(match[2], match[3], match[4])


def span(name: str, **attributes: str | int | float) -> AbstractContextManager[Any]:
    """A span around the work of the context, where the request is traced; gives the span, or None."""
    tracer = _tracer.get()
    if tracer is None:
        return NOTHING
    traced: AbstractContextManager[Any] = tracer.start_as_current_span(name, attributes=attributes)
    return traced


def past_span(name: str, began: float, ended: float, **attributes: str | int | float) -> None:
    """A span that is over already; the times are of the event loop's clock."""
    tracer = _tracer.get()
    if tracer is None:
        return
    now, wall = asyncio.get_running_loop().time(), time.time_ns()
    over = tracer.start_span(name, start_time=wall - int((now - began) * 1e9), attributes=attributes)
    over.end(end_time=wall - int((now - ended) * 1e9))


class SharedSpans:
    """Spans of work that one request begins and others wait for: theirs are called `join`, and linked with that one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun: dict[Hashable, Any] = {}  # by what is worked on, of traced requests

    @contextmanager
    def of(self, work: Hashable) -> Iterator[None]:
        """A span around work that this request begins, or that another has begun."""
        begun = self._begun.get(work)
        if begun is not None:
            with _joined_span("join", begun):
                yield
            return
        with span(self._name) as own:
            if own is not None:
                self._begun[work] = own
            try:
                yield
            finally:
                if own is not None:
                    self._begun.pop(work, None)


@contextmanager
def _joined_span(name: str, other: Any) -> Iterator[None]:
    """A span of work that another request has begun, linked with that one's span, and that one with this."""
    with span(name) as own:
        if own is not None:
            own.add_link(other.get_span_context())
            other.add_link(own.get_span_context())
        yield


class Traced:
    """ASGI layer around the app: takes a request's trace context, passes it on, and names the trace in the log."""

    def __init__(self, app: ASGIApp, tracer: Any) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
        parent = None if told is None else parse_traceparent(told.decode("latin-1"))
        if self._tracer is not None:
            await self._traced(scope, receive, send, parent)
        elif parent is not None:
            own = Parent(parent.trace, secrets.token_hex(8), parent.flags)
            with structlog.contextvars.bound_contextvars(trace_id=own.trace, span_id=own.span):
                await self._app(scope, receive, _telling(send, own))
        else:
            await self._app(scope, receive, send)

    async def _traced(self, scope: Scope, receive: Receive, send: Send, parent: Parent | None) -> None:
        from opentelemetry import trace

        context = None
        if parent is not None:
            remote = trace.SpanContext(
                int(parent.trace, 16), int(parent.span, 16), True, trace.TraceFlags(int(parent.flags, 16) & 1)
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        token = _tracer.set(self._tracer)
        method = str(scope.get("method", ""))
        try:
            with self._tracer.start_as_current_span(method, context=context, kind=trace.SpanKind.SERVER) as root:
                ids = root.get_span_context()
                own = Parent(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", f"{int(ids.trace_flags):02x}")

                async def note(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        root.set_attribute("http.response.status_code", message["status"])
                        if message["status"] >= 500:
                            root.set_status(trace.Status(trace.StatusCode.ERROR))
                    await send(message)

                root.set_attributes({"http.request.method": method, "url.path": scope["path"]})
                with structlog.contextvars.bound_contextvars(trace_id=own.trace, span_id=own.span):
                    await self._app(scope, receive, _telling(note, own))
                if (template := scope.get("path_template")) is not None:
                    root.update_name(f"{method} {template}")
        finally:
            _tracer.reset(token)


def _telling(send: Send, own: Parent) -> Send:
    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableScopeHeaders.from_message(message)[TRACEPARENT] = f"00-{own.trace}-{own.span}-{own.flags}"
        await send(message)

    return tell
