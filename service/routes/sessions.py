"""`/sessions`: one refinement, which a tool feeds, a person orders, and both see."""

from functools import partial
from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from clpips.service.admission.access import Caller, require
from clpips.service.admission.door import Ticket
from clpips.service.admission.reception import Reception
from clpips.service.openapi.sessions import (
    AddCandidatesOperation,
    CreateSessionOperation,
    DeleteSessionOperation,
    LookAtSessionOperation,
    OrderSessionOperation,
    SessionImageOperation,
    SuggestInSessionOperation,
    TakeBackOrderOperation,
    WatchSessionOperation,
)
from clpips.service.problems import Fault, Forbidden, InvalidRequest
from clpips.service.routes.event_stream import EventStream
from clpips.service.routes.parameters import AnyRequest
from clpips.service.routes.session_access import ADDS_TO_SESSION, ENDS_SESSION, OPENS_SESSION, may_teach
from clpips.service.sessions.operations import Sessions
from clpips.service.sessions.orders import SessionOrders
from clpips.service.sessions.streams import Streams
from clpips.service.storage.records import Session
from clpips.service.wire.bounds import MAX_INTEGER
from clpips.service.wire.faults import short
from clpips.service.wire.media_types import WEBP
from clpips.service.wire.replies import reply
from clpips.service.wire.session_bodies import (
    CandidatesRequest,
    SessionRequest,
    parse_candidates,
    parse_order,
    parse_session,
)
from clpips.service.wire.session_schemas import (
    SessionForgotten,
    SessionMade,
    SessionOrderBody,
    SessionState,
    SessionSuggestion,
    SessionTaught,
)

MAX_ORDER_BYTES = 64 * 1024
PICTURE_HEADERS = {"cache-control": "private, max-age=3600, immutable"}


@post(
    "/sessions",
    summary="Make a session",
    operation_id="create_session",
    tags=["sessions"],
    guards=[require("score")],
    operation_class=CreateSessionOperation,
)
async def create_session(
    request: AnyRequest, reception: NamedDependency[Reception], sessions: NamedDependency[Sessions]
) -> Response[SessionMade]:
    """A target, to which candidates come one after the other; it lasts for a day, or as the service is set."""
    caller: Caller = request.state.caller

    async def create(asked: SessionRequest, ticket: Ticket) -> SessionMade:
        opened = await sessions.create(caller, asked, ticket)
        url = f"{request.base_url}studio#session={opened.session.id}&token={opened.token}"
        return SessionMade(opened.session.id, url, opened.token, opened.session.expires_at)

    made = await reception.answer(request, parse_session, create)
    made.status_code = 201
    made.headers["location"] = f"/sessions/{made.content.session}"
    made.headers["cache-control"] = "no-store"
    return made


@post(
    "/sessions/{session_id:str}/candidates",
    status_code=200,
    summary="Add candidates",
    operation_id="add_candidates",
    tags=["sessions"],
    guards=ADDS_TO_SESSION,
    operation_class=AddCandidatesOperation,
)
async def add_candidates(
    request: AnyRequest,
    reception: NamedDependency[Reception],
    sessions: NamedDependency[Sessions],
    session: NamedDependency[Session],
    since: Annotated[
        int | None,
        QueryParameter(
            ge=0,
            le=MAX_INTEGER,
            description="How many candidates the caller knows of: images that have come after those are not added "
            "again, so that a request whose answer was lost may be sent again.",
        ),
    ] = None,
) -> Response[SessionState]:
    """Further images, each compared with the target; the answer ranks all that have come so far."""

    async def add(asked: CandidatesRequest, ticket: Ticket) -> SessionState:
        return await sessions.add(session, asked, ticket, since)

    return await reception.answer(request, parse_candidates, add)


@get(
    "/sessions/{session_id:str}",
    summary="Look at a session",
    operation_id="get_session",
    tags=["sessions"],
    guards=OPENS_SESSION,
    operation_class=LookAtSessionOperation,
)
async def get_session(
    request: AnyRequest,
    sessions: NamedDependency[Sessions],
    session: NamedDependency[Session],
    profile: Annotated[
        str | None, QueryParameter(description="Rank by these weights, and change nothing.", max_length=128)
    ] = None,
) -> Response[SessionState]:
    """All candidates with their distances, in the metric's order and in the person's."""
    state = await sessions.look(session, profile, own=not request.state.by_token)
    return reply(request, state, headers={"cache-control": "no-store"})


@get(
    "/sessions/{session_id:str}/events",
    summary="Watch a session",
    operation_id="watch_session",
    tags=["sessions"],
    guards=OPENS_SESSION,
    operation_class=WatchSessionOperation,
)
async def watch_session(
    request: AnyRequest,
    streams: NamedDependency[Streams],
    session: NamedDependency[Session],
    after: Annotated[
        int, QueryParameter(ge=0, le=MAX_INTEGER, description="The revision that is known; `Last-Event-ID` wins.")
    ] = 0,
) -> EventStream:
    """Events: that the session has changed, on whichever replica."""
    streams.require_room(session.id)
    return EventStream(partial(streams.watch, session), _last_event(request, after))


@put(
    "/sessions/{session_id:str}/order",
    summary="Order the candidates",
    operation_id="order_session",
    tags=["sessions"],
    guards=OPENS_SESSION,
    operation_class=OrderSessionOperation,
)
async def order_session(
    request: AnyRequest,
    reception: NamedDependency[Reception],
    session_orders: NamedDependency[SessionOrders],
    session: NamedDependency[Session],
) -> Response[SessionTaught]:
    """What a person says of the candidates; the session's profile learns from it at once.

    It replaces what they said before. Where the profile ships with the service, or the key may not teach, the order is
    kept all the same, and `reason` says why nothing was taught.
    """

    async def order(said: SessionOrderBody, _: Ticket) -> SessionTaught:
        return await session_orders.order(session, said, teaches=may_teach(request))

    return await reception.answer(request, parse_order, order, most_bytes=MAX_ORDER_BYTES)


@delete(
    "/sessions/{session_id:str}/order",
    status_code=200,
    summary="Take the order back",
    operation_id="take_back_order",
    tags=["sessions"],
    guards=OPENS_SESSION,
    operation_class=TakeBackOrderOperation,
)
async def take_back_order(
    request: AnyRequest,
    session_orders: NamedDependency[SessionOrders],
    session: NamedDependency[Session],
) -> Response[SessionForgotten]:
    """The session forgets what the person said, and so does the profile that it taught."""
    return reply(request, await session_orders.take_back(session, teaches=may_teach(request)))


@delete(
    "/sessions/{session_id:str}",
    status_code=204,
    summary="Delete a session",
    operation_id="delete_session",
    tags=["sessions"],
    guards=ENDS_SESSION,
    operation_class=DeleteSessionOperation,
)
async def delete_session(
    request: AnyRequest,
    sessions: NamedDependency[Sessions],
    session_orders: NamedDependency[SessionOrders],
    session: NamedDependency[Session],
    forget: Annotated[bool, QueryParameter(description="Have the profile forget what the session taught it.")] = False,
) -> None:
    """The session, its candidates and pictures go. What it has taught stays, unless it is to be forgotten too."""
    if forget:
        if not may_teach(request):
            raise Forbidden("to forget what was taught needs the scope 'teach'; delete the session without `forget`")
        await session_orders.forget(session)
    await sessions.delete(session)


@get(
    "/sessions/{session_id:str}/images/{which:str}",
    summary="See an image",
    operation_id="get_session_image",
    tags=["sessions"],
    guards=OPENS_SESSION,
    operation_class=SessionImageOperation,
    media_type=WEBP,
)
async def get_session_image(
    sessions: NamedDependency[Sessions],
    session: NamedDependency[Session],
    which: Annotated[str, PathParameter(description="`target`, or a candidate's index.")],
) -> Response[bytes]:
    """A small picture of the target or a candidate, made anew from the pixels that were scored."""
    content = await sessions.thumbnail(session, which)
    return Response(content, media_type=WEBP, headers=PICTURE_HEADERS)


@get(
    "/sessions/{session_id:str}/suggest",
    summary="Ask about two candidates",
    operation_id="suggest_in_session",
    tags=["sessions"],
    guards=OPENS_SESSION,
    operation_class=SuggestInSessionOperation,
)
async def suggest_in_session(
    request: AnyRequest,
    session_orders: NamedDependency[SessionOrders],
    session: NamedDependency[Session],
) -> Response[SessionSuggestion]:
    """Of the candidates the two about whose order weights can differ most, and which nobody has ordered yet."""
    return reply(request, await session_orders.suggest(session))


def _last_event(request: AnyRequest, after: int) -> int:
    """The revision that a client has seen last. Raises `InvalidRequest` for an id that no event has."""
    last = request.headers.get("last-event-id", "").strip()
    if not last:
        return after
    if not (last.isascii() and last.isdecimal() and len(last) <= 10):
        detail = f"the header Last-Event-ID is {short(last)!r}, expected the id of an event: a whole number"
        raise InvalidRequest(detail, [Fault("", detail)])
    return int(last)


SESSION_ROUTES = [
    create_session,
    add_candidates,
    get_session,
    watch_session,
    order_session,
    take_back_order,
    delete_session,
    get_session_image,
    suggest_in_session,
]
