"""`/profiles/{name}/rankings` and `/suggest`: what people say of images, one by one, and what to ask next."""

from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.door import Ticket
from clpips.service.admission.reception import Reception
from clpips.service.openapi.profiles import (
    ForgetOperation,
    LookAtRankingOperation,
    RankingOperation,
    SuggestOperation,
)
from clpips.service.problems import RankingNotFound
from clpips.service.routes.parameters import AnyRequest, Name
from clpips.service.teaching.judging import Judging
from clpips.service.wire.ranking_bodies import RankingRequest, parse_ranking
from clpips.service.wire.ranking_schemas import Forgotten, RankingInfo, Suggestion, TaughtRanking
from clpips.service.wire.replies import reply

Number = Annotated[int, PathParameter(description="The ranking's number.")]


@post(
    "/profiles/{name:str}/rankings",
    summary="Teach a profile",
    operation_id="teach_profile",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=RankingOperation,
)
async def teach_profile(
    request: AnyRequest, judging: NamedDependency[Judging], reception: NamedDependency[Reception], name: Name
) -> Response[TaughtRanking]:
    """What a person says of a comparison that `/rank` answered, or of images. It is kept and learned from at once.

    `order` and `ranks` are of all candidates; `best` and `top` say that these come before all the others, and no more.
    The same said of a comparison again is the same ranking, answered with 200; something else said of it by the same
    rater replaces it.
    """
    tenant = tenant_of(request)
    is_new = True

    async def learn(asked: RankingRequest, ticket: Ticket) -> TaughtRanking:
        nonlocal is_new
        answer, is_new = await judging.teach(tenant, name, asked, ticket)
        return answer

    taught = await reception.answer(request, parse_ranking, learn)
    taught.status_code = 201 if is_new else 200
    return taught


@get(
    "/profiles/{name:str}/rankings/{number:int}",
    summary="Look at a ranking",
    operation_id="get_ranking",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=LookAtRankingOperation,
)
async def get_ranking(
    request: AnyRequest, judging: NamedDependency[Judging], name: Name, number: Number
) -> Response[RankingInfo]:
    """What is known of one: the images by hash, their ranks, who said it and when. No image is kept."""
    _require_plain(request, number)
    return reply(request, await judging.look(tenant_of(request), name, number))


@delete(
    "/profiles/{name:str}/rankings/{number:int}",
    status_code=200,
    summary="Forget a ranking",
    operation_id="forget_ranking",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=ForgetOperation,
)
async def forget_ranking(
    request: AnyRequest, judging: NamedDependency[Judging], name: Name, number: Number
) -> Response[Forgotten]:
    """It is removed, and the others are fitted. Versions that learned from it are superseded and not used again.

    In use is then the fit of what is left, where it is taken; else a version that had not learned from it and was in
    use, or the one that fits start from.
    """
    _require_plain(request, number)
    return reply(request, await judging.forget(tenant_of(request), name, number))


@get(
    "/profiles/{name:str}/suggest",
    summary="Ask about two images",
    operation_id="suggest_pair",
    tags=["profiles"],
    guards=[require("score")],
    operation_class=SuggestOperation,
)
async def suggest_pair(
    request: AnyRequest,
    judging: NamedDependency[Judging],
    name: Name,
    comparison: Annotated[str, QueryParameter(description="The id that `/rank` answered.", max_length=64)],
) -> Response[Suggestion]:
    """Of a comparison's candidates the two about whose order weights can differ most, and which nobody has told yet."""
    return reply(request, await judging.suggest(tenant_of(request), name, comparison))


def _require_plain(request: AnyRequest, number: int) -> None:
    """Raise `RankingNotFound` where the path has the number in another form: `+1`, `01`, `1` and a line feed."""
    written = request.scope["path"].rpartition("/")[2]
    if written != str(number):
        raise RankingNotFound(f"there is no ranking {written!r}; numbers are written as replies have them")


RANKING_ROUTES = [teach_profile, get_ranking, forget_ranking, suggest_pair]
