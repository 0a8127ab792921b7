"""`POST /rank` and `POST /distance`."""

import asyncio
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency

from service.bodies import parse_distance, parse_rank, read_bytes
from service.openapi import DistanceOperation, RankOperation, problems
from service.replies import reply
from service.schemas import DistanceReply, Limits, RankReply
from service.scoring import Scorer

SCORING_PROBLEMS = problems(400, 409, 413, 415, 422)


@post(
    "/rank",
    status_code=200,
    operation_id="rank",
    tags=["scoring"],
    operation_class=RankOperation,
    response_description="The candidates, the most similar first.",
    responses=SCORING_PROBLEMS,
)
async def rank(
    request: Request[Any, Any, Any],
    scorer: NamedDependency[Scorer],
    limits: NamedDependency[Limits],
) -> Response[RankReply]:
    """Order the candidates by their distance from the target, the most similar first."""
    body = await read_bytes(request, limits.body_bytes)
    parsed = await asyncio.to_thread(parse_rank, request.headers.get("content-type", ""), body, limits)
    return reply(request, await scorer.rank(parsed))


@post(
    "/distance",
    status_code=200,
    operation_id="distance",
    tags=["scoring"],
    operation_class=DistanceOperation,
    response_description="A distance for each pair.",
    responses=SCORING_PROBLEMS,
)
async def distance(
    request: Request[Any, Any, Any],
    scorer: NamedDependency[Scorer],
    limits: NamedDependency[Limits],
) -> Response[DistanceReply]:
    """The distance of each pair, in the order they came."""
    body = await read_bytes(request, limits.body_bytes)
    parsed = await asyncio.to_thread(parse_distance, request.headers.get("content-type", ""), body, limits)
    return reply(request, await scorer.distance(parsed))
