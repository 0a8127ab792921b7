"""Path and query parameters that handlers share."""

from typing import Annotated, Any

from litestar import Request
from litestar.params import PathParameter, QueryParameter

AnyRequest = Request[Any, Any, Any]
SessionId = Annotated[str, PathParameter(description="The session's id.")]
Name = Annotated[str, PathParameter(description="The profile's name.")]
PageSize = Annotated[int, QueryParameter(ge=1, le=1000, description="How many to answer at most.")]
