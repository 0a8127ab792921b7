"""Who may open a session: its tenant's keys, and whoever has its token."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from clpips.service.admission.access import Access, Caller, Guard, require
from clpips.service.admission.keys import SCOPES, KeyScope, hash_of, listed
from clpips.service.problems import Forbidden
from clpips.service.routes.parameters import AnyRequest, SessionId
from clpips.service.storage.errors import SessionMissingError
from clpips.service.storage.records import Session

TOKEN_HEADER: Final = "X-Session-Token"  # noqa: S105 - a header's name
SCORE: Final[KeyScope] = "score"
Find = Callable[..., Awaitable[Session]]  # of `HeldSessions`
_keyed: Final = require(SCORE)


async def open_session(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard that leaves the session of the path in the request's state, as it is now, and the `Caller`.

    With a token the caller is the key that made the session, as long as that key is good; what a token may do is in the
    session. Raises `SessionMissingError`, alike for a session that is not there and for one that is not the caller's,
    and what `require` raises.
    """
    await _open(connection, handler, connection.app.state.sessions.find)


async def reopen_session(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """`open_session` for handlers that write to the session: where it is held, as it was when it was last seen.

    Its tenant, token and end never change; that it is still there, the write finds out.
    """
    await _open(connection, handler, connection.app.state.sessions.recall)


async def open_own_session(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """`open_session` for what a link is not enough for. Raises `Forbidden` where the session's token has opened it."""
    await open_session(connection, handler)
    if connection.state.by_token:
        raise Forbidden(
            f"the session's token cannot delete the session: send an API key of its tenant, without {TOKEN_HEADER}; "
            "a service without API keys takes the request without the token"
        )


async def _open(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler, find: Find) -> None:
    name: str = connection.path_params["session_id"]
    token = connection.headers.get(TOKEN_HEADER)
    if token is None:
        await _keyed(connection, handler)
        caller: Caller = connection.state.caller
        connection.state.session = await find(name, tenant=caller.tenant)
        connection.state.by_token = False
        return
    session = await find(name, token=hash_of(token))
    access: Access = connection.app.state.access
    if not access.knows(session.key, session.tenant):
        raise SessionMissingError(name)
    caller = Caller(session.key, session.tenant, frozenset(scope for scope in SCOPES if scope in session.scopes))
    structlog.contextvars.bind_contextvars(key=caller.key, by="session token")
    access.require_rate(caller)
    if SCORE not in caller.scopes:
        raise Forbidden(f"this needs the scope {SCORE!r}; the session's token has {listed(caller.scopes)}")
    connection.state.caller, connection.state.session, connection.state.by_token = caller, session, True


def session_of(request: AnyRequest, session_id: SessionId) -> Session:  # noqa: ARG001 - the guard has read it
    """A dependency: the session of the path, as its guard has found it."""
    session: Session = request.state.session
    return session


def may_teach(request: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the caller may teach profiles."""
    caller: Caller = request.state.caller
    return "teach" in caller.scopes


OPENS_SESSION: Final[list[Guard]] = [open_session]
ADDS_TO_SESSION: Final[list[Guard]] = [reopen_session]
ENDS_SESSION: Final[list[Guard]] = [open_own_session]
