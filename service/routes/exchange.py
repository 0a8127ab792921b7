"""`/profiles/{name}/weights` and `/rankings`: what a person taught, to carry away and to bring."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Request, Response, get, put
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.response import Stream

from clpips.models.metric.weights_files import format_weights
from clpips.models.rankings.files import Ranking, format_ranking
from clpips.service.admission.access import require, tenant_of
from clpips.service.openapi.operations import problems
from clpips.service.openapi.profile_operations import (
    JSON_LINES,
    WEIGHTS,
    ExportRankingsOperation,
    ExportWeightsOperation,
    ImportOperation,
)
from clpips.service.routes.profiles import Name
from clpips.service.teaching.operations import Teaching
from clpips.service.wire.bodies import read_bytes
from clpips.service.wire.profile_schemas import MAX_INTEGER, ProfileSummary
from clpips.service.wire.replies import reply

MAX_WEIGHTS_BYTES = 64 * 1024  # a weights file has some 5 KB

AnyRequest = Request[Any, Any, Any]


@get(
    "/profiles/{name:str}/weights",
    summary="Download weights",
    operation_id="export_weights",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=ExportWeightsOperation,
    media_type=WEIGHTS,
    responses=problems(400, 401, 403, 404, 429, 503),
)
async def export_weights(
    request: AnyRequest,
    teaching: NamedDependency[Teaching],
    name: Name,
    version: Annotated[
        int | None, Parameter(ge=1, le=MAX_INTEGER, description="Another version than the one in use.")
    ] = None,
) -> Response[bytes]:
    """The safetensors file that `clpips distance --weights` takes."""
    weights, number = await teaching.export_weights(tenant_of(request), name, version)
    headers = {"content-disposition": f'attachment; filename="{name}-v{number}.safetensors"'}
    return Response(format_weights(weights), media_type=WEIGHTS, headers=headers)


@put(
    "/profiles/{name:str}/weights",
    summary="Upload weights",
    operation_id="import_weights",
    tags=["profiles"],
    guards=[require("admin")],
    operation_class=ImportOperation,
    responses=problems(401, 403, 409, 413, 415, 422, 429, 503),
)
async def import_weights(
    request: AnyRequest, teaching: NamedDependency[Teaching], name: Name
) -> Response[ProfileSummary]:
    """A weights file becomes the version in use, and what later fits start from; an unknown name makes a profile."""
    summary, made = await teaching.import_weights(
        tenant_of(request), name, await read_bytes(request, MAX_WEIGHTS_BYTES)
    )
    return reply(request, summary, status=201 if made else 200)


@get(
    "/profiles/{name:str}/rankings",
    summary="Download rankings",
    operation_id="export_rankings",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=ExportRankingsOperation,
    media_type=JSON_LINES,
    responses=problems(401, 403, 404, 409, 429, 503),
)
async def export_rankings(request: AnyRequest, teaching: NamedDependency[Teaching], name: Name) -> Stream:
    """The rankings that count, one a line, with channel distances in place of images; `clpips fit` takes the file."""
    rankings = await teaching.export_rankings(tenant_of(request), name)
    headers = {"content-disposition": f'attachment; filename="{name}.jsonl"'}
    return Stream(_lines(rankings), media_type=JSON_LINES, headers=headers)


async def _lines(rankings: AsyncIterator[Ranking]) -> AsyncIterator[str]:
    async for ranking in rankings:
        yield format_ranking(ranking) + "\n"


EXCHANGE_ROUTES = [export_weights, import_weights, export_rankings]
