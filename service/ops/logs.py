"""Structured logs, one line a request, tied together by a request id that the client may choose and gets back."""

import logging
import re
import sys
import time
import uuid
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from clpips.service.settings import Settings

REQUEST_ID: Final = "X-Request-ID"
SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# What a terminal obeys, or writes backwards: any page can ask for a path that has it. JSON escapes it anyway.
COMMANDS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds: logged at debug

log = structlog.get_logger()


class RequestLog:
    """ASGI layer around the whole app: gives each request its id, and logs its outcome."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableScopeHeaders.from_message(message)[REQUEST_ID] = request_id
            await send(message)

        start = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                write = log.debug if scope["path"] in QUIET and status < 500 else log.info
                write(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(time.perf_counter() - start, 6),
                )


def _request_id(scope: Scope) -> str:
    """The client's own id where it is harmless in a header and a log, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE_ID.fullmatch(text := value.decode("latin-1")):
            return text
    return uuid.uuid4().hex


def escape_commands(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A log line for a terminal, in which no text that a client sent is a command to it.

    >>> escape_commands(None, "info", {"path": "/\\x1b[2J", "status": 404})
    {'path': '/\\\\x1b[2J', 'status': 404}
    """
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = COMMANDS.sub(lambda sign: repr(sign[0])[1:-1], value)
    return line


def configure_logging(settings: Settings) -> None:
    """Send the service's and its libraries' logs to standard error: JSON lines, or colours where a person watches."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [escape_commands, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("clpips").setLevel(level)  # the metric's own
