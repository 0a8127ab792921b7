"""`POST /rank` and `POST /distance`."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency

from service.bodies import Limits, parse_distance, parse_rank, read_bytes
from service.openapi import DistanceOperation, RankOperation, problems
from service.replies import reply
from service.schemas import DistanceReply, RankReply
from service.scoring import Scorer
from service.workers import Decoder

SCORING_PROBLEMS = problems(400, 409, 413, 415, 422)


@post("/rank", status_code=200, tags=["scoring"], operation_class=RankOperation, responses=SCORING_PROBLEMS)
async def rank(
    request: Request[Any, Any, Any],
    scorer: NamedDependency[Scorer],
    decoder: NamedDependency[Decoder],
    limits: NamedDependency[Limits],
) -> Response[RankReply]:
    """Order the candidates by their distance from the target, the most similar first."""
    body = await read_bytes(request, limits.body_bytes)
    parsed = await decoder.run(parse_rank, request.headers.get("content-type", ""), body, limits)
    return reply(request, await scorer.rank(parsed))


@post("/distance", status_code=200, tags=["scoring"], operation_class=DistanceOperation, responses=SCORING_PROBLEMS)
async def distance(
    request: Request[Any, Any, Any],
    scorer: NamedDependency[Scorer],
    decoder: NamedDependency[Decoder],
    limits: NamedDependency[Limits],
) -> Response[DistanceReply]:
    """The distance of each pair, in the order they came."""
    body = await read_bytes(request, limits.body_bytes)
    parsed = await decoder.run(parse_distance, request.headers.get("content-type", ""), body, limits)
    return reply(request, await scorer.distance(parsed))
