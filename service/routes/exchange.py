"""`/profiles/{name}/weights` and `/rankings`: what a person taught, to carry away and to bring."""

from collections.abc import AsyncIterator
from typing import Annotated

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from clpips.models.rankings.files import Ranking, format_ranking
from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.door import Ticket
from clpips.service.admission.reception import Reception
from clpips.service.openapi.profiles import (
    JSON_LINES,
    WEIGHTS,
    ExportRankingsOperation,
    ExportWeightsOperation,
    ImportOperation,
)
from clpips.service.routes.parameters import AnyRequest, Name
from clpips.service.teaching.exchange import Exchange
from clpips.service.wire.bodies import as_it_is
from clpips.service.wire.bounds import MAX_INTEGER
from clpips.service.wire.profile_schemas import ProfileSummary

MAX_WEIGHTS_BYTES = 1024 * 1024  # 25 KB, and 11 bytes for each ranking and image that the weights were fitted to


@get(
    "/profiles/{name:str}/weights",
    summary="Download weights",
    operation_id="export_weights",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=ExportWeightsOperation,
    media_type=WEIGHTS,
)
async def export_weights(
    request: AnyRequest,
    exchange: NamedDependency[Exchange],
    name: Name,
    version: Annotated[
        int | None, QueryParameter(ge=1, le=MAX_INTEGER, description="Another version than the one in use.")
    ] = None,
) -> Response[bytes]:
    """The safetensors file that `clpips distance --weights` takes."""
    content, number = await exchange.export_weights(tenant_of(request), name, version)
    headers = {"content-disposition": f'attachment; filename="{name}-v{number}.safetensors"'}
    return Response(content, media_type=WEIGHTS, headers=headers)


@put(
    "/profiles/{name:str}/weights",
    summary="Upload weights",
    operation_id="import_weights",
    tags=["profiles"],
    guards=[require("admin")],
    operation_class=ImportOperation,
)
async def import_weights(
    request: AnyRequest, exchange: NamedDependency[Exchange], reception: NamedDependency[Reception], name: Name
) -> Response[ProfileSummary]:
    """A weights file becomes the version in use, and what later fits start from; an unknown name makes a profile."""
    is_new = False

    async def take(content: bytes, _: Ticket) -> ProfileSummary:
        nonlocal is_new
        summary, is_new = await exchange.import_weights(tenant_of(request), name, content)
        return summary

    taken = await reception.answer(request, as_it_is, take, most_bytes=MAX_WEIGHTS_BYTES)
    taken.status_code = 201 if is_new else 200
    return taken


@get(
    "/profiles/{name:str}/rankings",
    summary="Download rankings",
    operation_id="export_rankings",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=ExportRankingsOperation,
    media_type=JSON_LINES,
)
async def export_rankings(request: AnyRequest, exchange: NamedDependency[Exchange], name: Name) -> Stream:
    """The rankings that count, one a line, with channel distances in place of images; `clpips fit` takes the file."""
    rankings = await exchange.export_rankings(tenant_of(request), name)
    headers = {"content-disposition": f'attachment; filename="{name}.jsonl"'}
    return Stream(_lines(rankings), media_type=JSON_LINES, headers=headers)


async def _lines(rankings: AsyncIterator[Ranking]) -> AsyncIterator[str]:
    async for ranking in rankings:
        yield format_ranking(ranking) + "\n"


EXCHANGE_ROUTES = [export_weights, import_weights, export_rankings]
