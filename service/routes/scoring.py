"""`POST /rank` and `POST /distance`."""

from functools import partial
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency

from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.reception import Reception
from clpips.service.openapi.scoring import DistanceOperation, RankOperation
from clpips.service.scoring.scorer import Scorer
from clpips.service.wire.bodies import parse_distance, parse_rank
from clpips.service.wire.schemas import DistanceReply, RankReply


@post(
    "/rank",
    status_code=200,
    summary="Rank candidates",
    operation_id="rank",
    tags=["scoring"],
    guards=[require("score")],
    operation_class=RankOperation,
)
async def rank(
    request: Request[Any, Any, Any],
    reception: NamedDependency[Reception],
    scorer: NamedDependency[Scorer],
) -> Response[RankReply]:
    """Order the candidates by their distance from the target, the most similar first."""
    return await reception.answer(request, parse_rank, partial(scorer.rank, tenant_of(request)))


@post(
    "/distance",
    status_code=200,
    summary="Measure pairs",
    operation_id="distance",
    tags=["scoring"],
    guards=[require("score")],
    operation_class=DistanceOperation,
)
async def distance(
    request: Request[Any, Any, Any],
    reception: NamedDependency[Reception],
    scorer: NamedDependency[Scorer],
) -> Response[DistanceReply]:
    """The distance of each pair, in the order they came."""
    return await reception.answer(request, parse_distance, partial(scorer.distance, tenant_of(request)))
