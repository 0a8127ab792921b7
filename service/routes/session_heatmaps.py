"""`GET /sessions/{session_id}/heatmap`: a heat map for whoever a session is open to."""

from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from clpips.service.admission.door import Ticket
from clpips.service.admission.reception import Reception
from clpips.service.openapi.sessions import SessionHeatmapOperation
from clpips.service.routes.heatmaps import heatmap_file
from clpips.service.routes.parameters import AnyRequest
from clpips.service.routes.session_access import OPENS_SESSION
from clpips.service.sessions.heatmaps import SessionHeatmaps
from clpips.service.sessions.operations import Sessions
from clpips.service.storage.records import Session
from clpips.service.wire.body_memory import Body
from clpips.service.wire.bounds import MAX_INTEGER
from clpips.service.wire.heatmaps import (
    FORMAT,
    HIGH,
    LARGEST,
    LAYER,
    MOST_LAYERS,
    OPACITY,
    STYLE,
    UPSAMPLE,
    Format,
    Heatmap,
    HeatmapOptions,
    Style,
    Upsample,
    require_drawable,
)
from clpips.service.wire.schemas import Limits


@get(
    "/sessions/{session_id:str}/heatmap",
    summary="Show where a candidate differs",
    operation_id="get_session_heatmap",
    tags=["sessions"],
    guards=OPENS_SESSION,
    operation_class=SessionHeatmapOperation,
)
async def get_session_heatmap(
    request: AnyRequest,
    reception: NamedDependency[Reception],
    sessions: NamedDependency[Sessions],
    session_heatmaps: NamedDependency[SessionHeatmaps],
    session: NamedDependency[Session],
    candidate: Annotated[int, QueryParameter(ge=0, le=MAX_INTEGER, description="The candidate's index.")],
    profile: Annotated[
        str | None, QueryParameter(max_length=128, description="By these weights, in place of the session's own.")
    ] = None,
    format: Annotated[Format, QueryParameter(description=FORMAT)] = "png",  # noqa: A002 - the parameter's name
    style: Annotated[Style, QueryParameter(description=STYLE)] = "map",
    upsample: Annotated[Upsample, QueryParameter(description=UPSAMPLE)] = "nearest",
    layer: Annotated[int | None, QueryParameter(ge=1, le=MOST_LAYERS, description=LAYER)] = None,
    opacity: Annotated[float, QueryParameter(ge=0, le=1, description=OPACITY)] = 0.6,
    high: Annotated[float | None, QueryParameter(gt=0, le=LARGEST, description=HIGH)] = None,
) -> Response[bytes]:
    """Where a candidate differs from the session's target, within its mask: a picture, or its values."""
    options = HeatmapOptions(
        profile=sessions.weights_of(session, profile, own=not request.state.by_token),
        resolution=session.resolution,
        format=format,
        style=style,
        upsample=upsample,
        layer=layer,
        opacity=opacity,
        high=high,
    )
    require_drawable(options)

    def asked(_: str, __: Body, ___: Limits) -> HeatmapOptions:
        return options

    async def draw(options: HeatmapOptions, ticket: Ticket) -> Heatmap:
        return await session_heatmaps.draw(session, candidate, options, ticket)

    drawn = await reception.answer(request, asked, draw, respond=heatmap_file)
    drawn.headers["cache-control"] = "no-store"
    return drawn
