"""`/profiles`: make, teach, look at, take back."""

from functools import partial
from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.door import Ticket
from clpips.service.admission.reception import Reception
from clpips.service.openapi.profiles import (
    CreateOperation,
    DeleteOperation,
    FitOperation,
    ListOperation,
    LookOperation,
    ResetOperation,
    RollbackOperation,
)
from clpips.service.routes.parameters import AnyRequest, Name, PageSize
from clpips.service.teaching.operations import Teaching
from clpips.service.wire.bodies import parse_fields
from clpips.service.wire.bounds import MAX_INTEGER
from clpips.service.wire.profile_schemas import (
    Deleted,
    NewProfile,
    ProfileDetail,
    ProfileList,
    ProfileSummary,
    RollbackBody,
    Taught,
)
from clpips.service.wire.replies import reply

MAX_FIELDS_BYTES = 64 * 1024  # of a body without images


@post(
    "/profiles",
    summary="Make a profile",
    operation_id="create_profile",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=CreateOperation,
)
async def create_profile(
    request: AnyRequest, teaching: NamedDependency[Teaching], reception: NamedDependency[Reception]
) -> Response[ProfileSummary]:
    """It begins with the weights of its parent, as version 1, and learns from each ranking that it is sent."""

    async def create(asked: NewProfile, _: Ticket) -> ProfileSummary:
        return await teaching.create(tenant_of(request), asked)

    made = await reception.answer(request, partial(parse_fields, NewProfile), create, most_bytes=MAX_FIELDS_BYTES)
    made.status_code = 201
    made.headers["location"] = f"/profiles/{made.content.name}"
    return made


@get(
    "/profiles",
    summary="List profiles",
    operation_id="list_profiles",
    tags=["profiles"],
    guards=[require("score")],
    operation_class=ListOperation,
)
async def list_profiles(
    request: AnyRequest,
    teaching: NamedDependency[Teaching],
    after: Annotated[str, QueryParameter(description="Only names that come after this one.", max_length=128)] = "",
    limit: PageSize = 100,
) -> Response[ProfileList]:
    """Your profiles by name, and the weights that ship with the service."""
    return reply(request, await teaching.page(tenant_of(request), after, limit))


@get(
    "/profiles/{name:str}",
    summary="Look at a profile",
    operation_id="get_profile",
    tags=["profiles"],
    guards=[require("score")],
    operation_class=LookOperation,
)
async def get_profile(
    request: AnyRequest,
    teaching: NamedDependency[Teaching],
    name: Name,
    before: Annotated[
        int | None, QueryParameter(ge=1, le=MAX_INTEGER, description="Only versions below this one.")
    ] = None,
    limit: PageSize = 20,
) -> Response[ProfileDetail]:
    """Its versions with what each agrees with, against plain LPIPS, and where its weight lies among the layers."""
    return reply(request, await teaching.detail(tenant_of(request), name, before, limit))


@post(
    "/profiles/{name:str}/fit",
    status_code=200,
    summary="Fit a profile",
    operation_id="fit_profile",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=FitOperation,
)
async def fit_profile(request: AnyRequest, teaching: NamedDependency[Teaching], name: Name) -> Response[Taught]:
    """Fit to all rankings now, as each posted ranking does by itself."""
    return reply(request, await teaching.fit(tenant_of(request), name))


@post(
    "/profiles/{name:str}/rollback",
    status_code=200,
    summary="Use a version again",
    operation_id="rollback_profile",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=RollbackOperation,
)
async def rollback_profile(
    request: AnyRequest, teaching: NamedDependency[Teaching], reception: NamedDependency[Reception], name: Name
) -> Response[ProfileSummary]:
    """Any version can be used again, a proposed one too. Rankings stay, and the next one makes a new version."""

    async def roll_back(chosen: RollbackBody, _: Ticket) -> ProfileSummary:
        return await teaching.rollback(tenant_of(request), name, chosen.version)

    return await reception.answer(request, partial(parse_fields, RollbackBody), roll_back, most_bytes=MAX_FIELDS_BYTES)


@post(
    "/profiles/{name:str}/reset",
    status_code=200,
    summary="Begin again",
    operation_id="reset_profile",
    tags=["profiles"],
    guards=[require("teach")],
    operation_class=ResetOperation,
)
async def reset_profile(
    request: AnyRequest, teaching: NamedDependency[Teaching], name: Name
) -> Response[ProfileSummary]:
    """A new version with the weights of version 1; the rankings so far no longer count."""
    return reply(request, await teaching.reset(tenant_of(request), name))


@delete(
    "/profiles/{name:str}",
    status_code=200,
    summary="Delete a profile",
    operation_id="delete_profile",
    tags=["profiles"],
    guards=[require("admin")],
    operation_class=DeleteOperation,
)
async def delete_profile(request: AnyRequest, teaching: NamedDependency[Teaching], name: Name) -> Response[Deleted]:
    """Everything about it goes: versions, rankings, what is held in memory. There is no way back."""
    return reply(request, await teaching.delete(tenant_of(request), name))


PROFILE_ROUTES = [
    create_profile,
    list_profiles,
    get_profile,
    fit_profile,
    rollback_profile,
    reset_profile,
    delete_profile,
]
