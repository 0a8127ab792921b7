"""`/profiles`: make, teach, look at, take back, carry away."""

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.response import Stream

from service.bodies import Limits, parse_fields, read_bytes
from service.openapi import problems
from service.openapi_profiles import (
    CreateOperation,
    ImportOperation,
    RankingOperation,
    RollbackOperation,
)
from service.profile_schemas import (
    Deleted,
    NewProfile,
    ProfileDetail,
    ProfileList,
    ProfileSummary,
    RollbackBody,
    Taught,
    TaughtRanking,
)
from service.ranking_bodies import parse_ranking
from service.replies import reply
from service.security import Caller, require
from service.storage.tables import Ranking
from service.teaching import Teaching
from service.workers import Decoder

MAX_WEIGHTS_BYTES = 64 * 1024  # a weights file has 5 KB
MAX_FIELDS_BYTES = 64 * 1024
WEIGHTS = "application/octet-stream"
JSON_LINES = "application/jsonl"
TEACH = [require("teach")]
SCORE = [require("score")]
ADMIN = [require("admin")]

AnyRequest = Request[Any, Any, Any]
Name = Annotated[str, Parameter(description="The profile's name.")]
PageLimit = Annotated[int, Parameter(ge=1, le=1000, description="How many to answer at most.")]
_json = msgspec.json.Encoder()


def _tenant(request: AnyRequest) -> str:
    caller: Caller = request.state.caller
    return caller.tenant


@post("/profiles", tags=["profiles"], guards=TEACH, operation_class=CreateOperation, summary="Make a profile",
      responses=problems(400, 401, 403, 409, 413, 415, 422, 429, 503))
async def create_profile(
    request: AnyRequest, teaching: NamedDependency[Teaching], limits: NamedDependency[Limits]
) -> Response[ProfileSummary]:
    """A profile begins with the weights of its parent, as version 1, and learns from the rankings it is sent."""
    body = await read_bytes(request, MAX_FIELDS_BYTES)
    new = parse_fields(request.headers.get("content-type", ""), body, limits, NewProfile)
    made = await teaching.create(_tenant(request), new)
    return created(request, made, f"/profiles/{made.name}")
