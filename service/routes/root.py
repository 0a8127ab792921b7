"""Front door: `GET /` leads to the page about the API, and a program to the document itself."""

from typing import Any, Final

from litestar import Request, get
from litestar.enums import MediaType
from litestar.response import Redirect

from clpips.service.wire.accepting import preferred

PAGE: Final = "/schema"
DOCUMENT: Final = "/schema/openapi.json"


@get("/", status_code=307, include_in_schema=False, sync_to_thread=False)
def root(request: Request[Any, Any, Any]) -> Redirect:
    """A redirect: to JSON where `Accept` prefers it, else to the page for people."""
    wants_json = preferred(request, [MediaType.HTML, MediaType.JSON], MediaType.HTML) == MediaType.JSON
    return Redirect(DOCUMENT if wants_json else PAGE, status_code=307, headers={"vary": "accept"})
