"""`POST /rank` and `POST /distance`."""

import asyncio
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from service.bodies import parse_distance, parse_rank, read_bytes
from service.comparisons import Comparison, Comparisons
from service.openapi import DistanceOperation, RankOperation, problems
from service.profiles import Registry
from service.replies import reply
from service.schemas import DistanceReply, Limits, RankReply
from service.scoring import Scorer
from service.security import require, tenant_of

SCORING_PROBLEMS = problems(400, 401, 403, 409, 413, 415, 422, 429, 503)


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
    scorer: NamedDependency[Scorer],
    limits: NamedDependency[Limits],
    registry: NamedDependency[Registry],
    comparisons: NamedDependency[Comparisons],
) -> Response[RankReply]:
    """Order the candidates by their distance from the target, the most similar first."""
    body = await read_bytes(request, limits.body_bytes)
    parsed = await asyncio.to_thread(parse_rank, request.headers.get("content-type", ""), body, limits)
    tenant = tenant_of(request)
    profile = await registry.resolve(tenant, parsed.options.profile)
    ranked, channel_distances = await scorer.rank(parsed, profile)
    comparison = Comparison.of(
        tenant,
        parsed.target,
        parsed.candidates,
        channel_distances,
        parsed.options.resolution,
        ranked.engine.backbone,
    )
    return reply(request, msgspec.structs.replace(ranked, comparison=await comparisons.keep(comparison)))


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
    scorer: NamedDependency[Scorer],
    limits: NamedDependency[Limits],
    registry: NamedDependency[Registry],
) -> Response[DistanceReply]:
    """The distance of each pair, in the order they came."""
    body = await read_bytes(request, limits.body_bytes)
    parsed = await asyncio.to_thread(parse_distance, request.headers.get("content-type", ""), body, limits)
    profile = await registry.resolve(tenant_of(request), parsed.options.profile)
    return reply(request, await scorer.distance(parsed, profile))
