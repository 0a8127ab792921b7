"""Cross-origin resource sharing (CORS) and request forgery: what pages of other sites may ask of the service.

A browser sends a page's simple requests to any site, and only keeps the answer from the page. So whatever changes
something, or costs something, is refused to pages of other sites; and sites that are listed may use everything.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Self

from clpips.service.admission.hosts import Authority, parse_authority
from clpips.service.settings import Settings, SettingsError

ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]*")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What a page may be shown without a key, and what costs nothing: a link from another site may lead there.
FREE: Final = ("/", "/healthz", "/readyz", "/metrics", "/schema", "/studio", "/study")
METHODS: Final = "GET, POST, PUT, DELETE"
REQUEST_HEADERS: Final = (
    "Authorization, Content-Type, Accept, X-Request-ID, X-Request-Timeout-Ms, X-Target-Hash, X-Priority, "
    "X-Session-Token, Last-Event-ID, traceparent, tracestate"
)
ANSWER_HEADERS: Final = (
    "X-Request-ID, Retry-After, Location, Content-Disposition, WWW-Authenticate, Clpips-Distance, "
    "Clpips-Diversity, Clpips-Families, Clpips-Unplaced, Clpips-Legend, Clpips-Layers, Clpips-Profile, traceparent"
)
REMEMBER_SECONDS: Final = 600  # for which a browser need not ask again


class Origins:
    """The origins of other sites whose pages may use the service; `*` stands for all."""

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = frozenset(listed)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Those of `CLPIPS_CORS_ORIGINS`. Raises `SettingsError` for what is no origin."""
        origins = [text.strip().lower().rstrip("/") for text in settings.cors_origins.split(",") if text.strip()]
        if wrong := [text for text in origins if text not in {"*", "null"} and not ORIGIN.fullmatch(text)]:
            raise SettingsError(
                f"CLPIPS_CORS_ORIGINS has {', '.join(map(repr, wrong))}: expected origins, a scheme and a host without "
                "a path, like https://studio.example.com"
            )
        return cls(map(_normal, origins))

    def __bool__(self) -> bool:
        return bool(self._listed)

    def __contains__(self, origin: str) -> bool:
        return "*" in self._listed or _normal(origin.lower()) in self._listed


def is_foreign(headers: Mapping[bytes, str], host: Authority | None) -> bool:
    """Whether a page of another site than the one at `host` sends this.

    `Sec-Fetch-Site`, which no page can set, tells it also where a proxy has changed the host. A request without either
    header is no page's: programs send none, and browsers send `Origin` with whatever is not a plain GET.
    """
    site = headers.get(b"sec-fetch-site", "")
    if site in {"same-origin", "none"}:
        return False
    origin = headers.get(b"origin")
    if origin is None:
        return site != ""
    scheme, _, authority = origin.lower().partition("://")
    own = parse_authority(authority)
    if own is None or host is None:
        return True
    default = DEFAULT_PORTS.get(scheme)
    return (own.name, own.port or default) != (host.name, host.port or default)


def is_free(method: str, path: str, headers: Mapping[bytes, str]) -> bool:
    """Whether the request changes nothing and costs nothing, so that a page of any site may cause it."""
    if method not in SAFE:
        return False
    navigates = headers.get(b"sec-fetch-mode") == "navigate" and b"origin" not in headers
    return method == "OPTIONS" or navigates or f"/{path.split('/')[1]}" in FREE


def preflight_headers(headers: Mapping[bytes, str]) -> dict[str, str]:
    """What a browser is told that asks whether a listed origin may send a request."""
    answer = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": str(REMEMBER_SECONDS),
    }
    if headers.get(b"access-control-request-private-network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return answer


def _normal(origin: str) -> str:
    """An origin without the port that its scheme has anyway, as browsers send it."""
    scheme, _, _ = origin.partition("://")
    port = DEFAULT_PORTS.get(scheme)
    return origin.removesuffix(f":{port}") if port else origin
