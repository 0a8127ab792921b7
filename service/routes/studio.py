"""`GET /studio` and the files of the page: the one part of the service that a person looks at."""

from typing import Annotated, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter

from clpips.service.pages.files import CONTENT_SECURITY_POLICY, File, Pages
from clpips.service.routes.parameters import AnyRequest

REVALIDATE: Final = "no-cache"  # a browser asks each time, and mostly hears that nothing has changed
FOR_EVER: Final = "public, max-age=31536000, immutable"


@get("/studio", include_in_schema=False, sync_to_thread=False)
def studio(request: AnyRequest, pages: NamedDependency[Pages]) -> Response[bytes]:
    """The page. It needs no key: it has no picture and no order in it, and asks for a key where one is needed."""
    return _answer(request, pages.page, REVALIDATE)


@get("/studio/{digest:str}/{name:path}", include_in_schema=False, sync_to_thread=False)
def studio_file(
    request: AnyRequest,
    pages: NamedDependency[Pages],
    digest: Annotated[str, PathParameter(description="Of all files; what is named by it never changes.")],
    name: Annotated[str, PathParameter(description="Of the file.")],
) -> Response[bytes]:
    """A file of the page: a module, a style, a licence.

    While a new version is rolled out, a page of one version may ask a replica of another: that is answered with what
    is here, and not kept.
    """
    file = pages.find(name.removeprefix("/"))
    if file is None:
        raise NotFoundException
    return _answer(request, file, FOR_EVER if digest == pages.digest else REVALIDATE)


def _answer(request: AnyRequest, file: File, caching: str) -> Response[bytes]:
    headers = {
        "cache-control": caching,
        "etag": file.etag,
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "cross-origin-opener-policy": "same-origin",
    }
    known = request.headers.get("if-none-match", "")
    if known == "*" or file.etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(b"", status_code=304, media_type=file.media_type, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


STUDIO_ROUTES = [studio, studio_file]
