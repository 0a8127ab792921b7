"""Query parameters: one that the route does not know or has twice is refused, as a field of a body is."""

from typing import Any

from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from clpips.service.problems import Fault, InvalidRequest
from clpips.service.wire.faults import short


async def check_parameters(request: Request[Any, Any, Any]) -> None:
    """Raise `InvalidRequest` that names each parameter of the query that is unknown, or there more than once.

    The app calls it before every handler, when the guards have let the request in and before its body is read.
    """
    if not request.scope["query_string"]:
        return
    known = _parameters_of(request.route_handler)
    there_are = f"this operation knows {', '.join(known)}" if known else "this operation has none"
    given = request.query_params
    details = [
        *(f"the query has a parameter {short(name)!r}; {there_are}" for name in given if name not in known),
        *(
            f"{name}: the query has it more than once, expected one"
            for name in known
            if len(given.getall(name, [])) > 1
        ),
    ]
    if details:
        raise InvalidRequest(details[0], [Fault("", detail) for detail in details])


def _parameters_of(handler: BaseRouteHandler) -> list[str]:
    """The query parameters in the handler's signature."""
    fields = handler.parsed_fn_signature.parameters.items()
    return [name for name, field in fields if isinstance(field.kwarg_definition, QueryParameter)]
