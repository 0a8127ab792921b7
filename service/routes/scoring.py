"""`POST /rank` and `POST /distance`."""

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.door import Ticket
from clpips.service.admission.reception import Reception
from clpips.service.openapi.operations import DistanceOperation, RankOperation, problems
from clpips.service.profiles.comparisons import Comparison, Comparisons
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.scorer import Scorer
from clpips.service.teaching.operations import Teaching
from clpips.service.wire.bodies import parse_distance, parse_rank
from clpips.service.wire.schemas import DistanceReply, DistanceRequest, RankReply, RankRequest

SCORING_PROBLEMS = problems(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 504)


@post(
    "/rank",
    status_code=200,
    operation_id="rank",
    tags=["scoring"],
    guards=[require("score")],
    operation_class=RankOperation,
    response_description="The candidates, the most similar first.",
    responses=SCORING_PROBLEMS,
)
async def rank(
    request: Request[Any, Any, Any],
    reception: NamedDependency[Reception],
    scorer: NamedDependency[Scorer],
    registry: NamedDependency[Registry],
    comparisons: NamedDependency[Comparisons],
    teaching: NamedDependency[Teaching],
) -> Response[RankReply]:
    """Order the candidates by their distance from the target, the most similar first."""
    tenant = tenant_of(request)

    async def score(asked: RankRequest, ticket: Ticket) -> RankReply:
        profile = await registry.resolve(tenant, asked.options.profile)
        ranked, channel_distances = await scorer.rank(asked, profile, ticket)
        compared = Comparison.of(
            tenant,
            asked.target,
            asked.candidates,
            channel_distances,
            asked.options.resolution,
            ranked.engine.backbone,
        )
        teaching.ranked(profile.info.name)
        return msgspec.structs.replace(ranked, comparison=await comparisons.keep(compared))

    return await reception.answer(request, parse_rank, score)


@post(
    "/distance",
    status_code=200,
    operation_id="distance",
    tags=["scoring"],
    guards=[require("score")],
    operation_class=DistanceOperation,
    response_description="A distance for each pair.",
    responses=SCORING_PROBLEMS,
)
async def distance(
    request: Request[Any, Any, Any],
    reception: NamedDependency[Reception],
    scorer: NamedDependency[Scorer],
    registry: NamedDependency[Registry],
) -> Response[DistanceReply]:
    """The distance of each pair, in the order they came."""
    tenant = tenant_of(request)

    async def score(asked: DistanceRequest, ticket: Ticket) -> DistanceReply:
        return await scorer.distance(asked, await registry.resolve(tenant, asked.options.profile), ticket)

    return await reception.answer(request, parse_distance, score)
