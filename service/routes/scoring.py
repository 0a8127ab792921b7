"""`POST /rank` and `POST /distance`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.door import TIMEOUT_HEADER, Door, Ticket, answering, received, skip_body
from clpips.service.openapi.scoring import DistanceOperation, RankOperation
from clpips.service.ops.telemetry import Telemetry
from clpips.service.profiles.comparisons import Comparison, Comparisons
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.scorer import Scorer
from clpips.service.teaching.operations import Teaching
from clpips.service.wire.bodies import announced_bytes, parse_distance, parse_rank, read_bytes
from clpips.service.wire.replies import reply
from clpips.service.wire.schemas import DistanceReply, DistanceRequest, Limits, RankReply, RankRequest

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")


class Reception(NamedTuple):
    """The way of every scoring request: through the door, read, parsed, scored, answered; or out at any point."""

    door: Door
    limits: Limits
    telemetry: Telemetry

    async def answer(
        self,
        request: Request[Any, Any, Any],
        parse: Callable[[str, bytes, Limits], AskedT],
        score: Callable[[AskedT, Ticket], Awaitable[AnswerT]],
    ) -> Response[AnswerT]:
        """The answer to a request, before its deadline. Raises a `Problem`, or `ClientGone`."""
        if self.door.closed:
            await skip_body(request)
        with self.door.admit(request.headers.get(TIMEOUT_HEADER), announced_bytes(request)) as ticket:
            body = await received(read_bytes(request, self.limits.body_bytes), ticket, self.telemetry)
            async with answering(request, ticket, self.telemetry):
                content_type = request.headers.get("content-type", "")
                asked = await asyncio.to_thread(parse, content_type, body, self.limits)
                del body  # the request holds its images
                answer = reply(request, await score(asked, ticket))
        if self.door.closed:
            answer.headers["Connection"] = "close"  # the client's next request is better sent elsewhere
        return answer


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
    registry: NamedDependency[Registry],
) -> Response[DistanceReply]:
    """The distance of each pair, in the order they came."""
    tenant = tenant_of(request)

    async def score(asked: DistanceRequest, ticket: Ticket) -> DistanceReply:
        return await scorer.distance(asked, await registry.resolve(tenant, asked.options.profile), ticket)

    return await reception.answer(request, parse_distance, score)
