"""`POST /heatmap`."""

from functools import partial

from litestar import Response, post
from litestar.di import NamedDependency

from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.reception import Reception
from clpips.service.openapi.heatmaps import HeatmapOperation
from clpips.service.routes.parameters import AnyRequest
from clpips.service.scoring.heatmaps import Heatmaps
from clpips.service.wire.heatmaps import Heatmap, parse_heatmap


@post(
    "/heatmap",
    status_code=200,
    summary="Show where images differ",
    operation_id="heatmap",
    tags=["scoring"],
    guards=[require("score")],
    operation_class=HeatmapOperation,
)
async def heatmap(
    request: AnyRequest, reception: NamedDependency[Reception], heatmaps: NamedDependency[Heatmaps]
) -> Response[bytes]:
    """Where a candidate differs from the target, by the profile that is asked: a picture, or its values."""
    draw = partial(heatmaps.draw, tenant_of(request))
    return await reception.answer(request, parse_heatmap, draw, respond=heatmap_file)


def heatmap_file(_: AnyRequest, drawn: Heatmap) -> Response[bytes]:
    """A map as an answer: the file, and what there is to say beside it in headers."""
    return Response(drawn.content, media_type=drawn.media_type, headers=drawn.headers)
