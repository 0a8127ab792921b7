"""The page at `/schema`: Swagger UI, from files that ship with the service, so that it works without a network."""

from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag

from clpips import __version__
from clpips.service.openapi.contract import ContractConfig
from clpips.service.openapi.headers import REQUEST_HEADERS, RESPONSE_HEADERS

STATIC: Final = Path(__file__).parent / "static"
CACHE: Final = {"content-encoding": "gzip", "cache-control": "public, max-age=86400"}

DESCRIPTION: Final = """
Image similarity that learns what *you* mean by similar. A distance is 0 for identical images and grows with what a
person would call a difference; `lpips` are the published weights of LPIPS v0.1 (AlexNet).

Bodies are JSON, MessagePack or `multipart/form-data`; answers are JSON, or MessagePack where `Accept` asks for it.
With curl: `curl -F target=@t.png -F candidates=@a.png -F candidates=@b.png HOST/rank`

Every error is `application/problem+json` (RFC 9457). Its `type` names the kind of problem; which kinds a status has is
said at each operation. A field or a query parameter that is not known is refused, never ignored.
"""

TAGS: Final = [
    Tag("scoring", "Distances between images, and the order that they give."),
    Tag("profiles", "Weights that a person teaches: made, taught, looked at, taken back, carried away and brought."),
    Tag(
        "sessions",
        "One refinement: a target, candidates that a tool sends one after the other, and a person's order of them.",
    ),
    Tag("health", "What a supervisor and Prometheus ask; it needs no key."),
]

PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="{base}/swagger-ui.css">
</head>
<body>
  <div id="swagger"></div>
  <script src="{base}/swagger-ui-bundle.js"></script>
  <script>
    SwaggerUIBundle({{url: "{schema}", dom_id: "#swagger", deepLinking: true, tryItOutEnabled: true}});
  </script>
</body>
</html>
"""


class SwaggerPage(OpenAPIRenderPlugin):
    """Swagger UI without a content delivery network."""

    def __init__(self) -> None:
        super().__init__(path="/swagger")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        schema = self.get_openapi_json_route(request)
        return PAGE.format(
            title=openapi_schema["info"]["title"], base=schema.rpartition("/")[0], schema=schema
        ).encode()

    def receive_router(self, router: Router) -> None:
        for handler in (script, style):
            router.register(handler)


@get("/swagger-ui-bundle.js", include_in_schema=False, sync_to_thread=False)
def script() -> Response[bytes]:
    """Swagger UI's code."""
    return Response((STATIC / "swagger-ui-bundle.js.gz").read_bytes(), media_type="text/javascript", headers=CACHE)


@get("/swagger-ui.css", include_in_schema=False, sync_to_thread=False)
def style() -> Response[bytes]:
    """Swagger UI's looks."""
    return Response((STATIC / "swagger-ui.css.gz").read_bytes(), media_type="text/css", headers=CACHE)


def _refuse_unknown(response: Response[Any]) -> Response[Any]:
    """Litestar answers an unknown path below `/schema` with a page of its own; every error here is problem+json."""
    if response.status_code == NotFoundException.status_code:
        raise NotFoundException
    return response


def openapi_config() -> ContractConfig:
    """How the API is documented: `/schema` for people, `/schema/openapi.json` for programs."""
    return ContractConfig(
        title="CLPIPS",
        version=__version__,
        description=DESCRIPTION.strip(),
        use_handler_docstrings=True,
        components=Components(
            headers=dict(RESPONSE_HEADERS),
            parameters=dict(REQUEST_HEADERS),
            security_schemes={
                "key": SecurityScheme(
                    type="http", scheme="bearer", description="An API key, where the service has been given any."
                )
            },
        ),
        security=[{"key": []}, {}],
        tags=list(TAGS),
        render_plugins=[SwaggerPage()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_refuse_unknown),
    )
