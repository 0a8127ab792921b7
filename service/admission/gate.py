"""Gate: the ASGI layer before all routes. It refuses requests by their `Host`, `Origin` or path, and adds headers.

It comes before authentication, because a browser that is misused stands on the right side of every key and firewall.
What there is no room for is refused here too, because it costs least here.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from clpips.service.admission.hosts import Authority, Hosts, parse_authority
from clpips.service.admission.origins import ANSWER_HEADERS, Origins, is_foreign, is_free, preflight_headers
from clpips.service.admission.shedding import Shedder
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import MEDIA_TYPE, HostRefused, OriginRefused, Problem, ProblemDetails, unnamed
from clpips.service.wire.faults import short

POLICY: Final = "Content-Security-Policy"
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",  # no browser guesses that an answer is a script or a page
    "X-Frame-Options": "DENY",  # no page shows ours within it, to have its buttons pressed unseen
    POLICY: "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# What says who asks, for whom, and in what form: a proxy may have looked at one of two, and the app at the other.
ONCE: Final = (b"host", b"origin", b"authorization", b"x-session-token", b"content-type", b"content-encoding")
NO_ANSWER: Final = "the service failed on this request; its log has the reason under the request id of this answer"

log = structlog.get_logger()


class Gate:
    """Checks every request's host, origin and path, and whether there is room, before the app sees it."""

    def __init__(self, app: ASGIApp, hosts: Hosts, origins: Origins, telemetry: Telemetry, shedder: Shedder) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins
        self._telemetry = telemetry
        self._shedder = shedder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        shared: dict[str, str] = {}
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                answer = MutableScopeHeaders.from_message(message)
                own = {} if POLICY not in answer else {POLICY: answer[POLICY]}  # a page's is stricter
                for name, value in (HEADERS | own | shared).items():
                    answer[name] = value
                if self._origins:
                    answer["Vary"] = ", ".join(filter(None, [answer.get("Vary"), "Origin"]))
            await send(message)

        problem = self._host_problem(scope, headers)
        origin = headers.get(b"origin")
        if problem is None and origin is not None and origin in self._origins:
            shared = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": ANSWER_HEADERS}
        elif problem is None:
            problem = self._origin_problem(scope, headers)
        problem = problem or self._shedder.problem(scope, headers)
        if problem is not None:
            await _answer(send_with_headers, problem)
        elif shared and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await _send(send_with_headers, HTTPStatus.NO_CONTENT, preflight_headers(headers), b"")
        else:
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception:
                if started:
                    raise
                log.exception("request failed", path=scope["path"])
                await _answer(send_with_headers, unnamed(HTTPStatus.INTERNAL_SERVER_ERROR, NO_ANSWER))

    def _host_problem(self, scope: HTTPScope, headers: Mapping[bytes, str]) -> Problem | ProblemDetails | None:
        """What is wrong with the request's host or path, or with headers that are there twice."""
        names = [name for name, _ in scope["headers"]]
        named = b"host" in names
        if not named and scope["http_version"] != "1.0":  # which had no such header yet; probes still speak it
            return _bad("the request has no Host header; send the name that the service was asked for by")
        if twice := [name.decode().title() for name in ONCE if names.count(name) > 1]:
            return _bad(f"the request has more than one {twice[0]} header; send one")
        host = _host(headers)
        if named and host is None:
            return _bad(f"the Host header is {short(headers[b'host'])!r}, expected a name or an address, and a port")
        if host is not None and host.name not in self._hosts:
            self._telemetry.rejected.labels("host").inc()
            return HostRefused(
                f"the service does not go by the name {short(host.name)!r}; if it should, its operator adds it to "
                "CLPIPS_ALLOWED_HOSTS"
            )
        path = scope["path"]
        if not path.startswith("/") and scope["method"] != "OPTIONS":  # whose target may be `*`: RFC 9112, section 3.2
            return _bad(f"the request's target is {short(path)!r}, expected a path that begins with /")
        if "//" in path or (path.endswith("/") and path != "/"):  # a proxy's rules for a path must not be got around
            return unnamed(HTTPStatus.NOT_FOUND, f"there is nothing at {short(path)!r}; paths have no empty segments")
        return None

    def _origin_problem(self, scope: HTTPScope, headers: Mapping[bytes, str]) -> Problem | None:
        """What is wrong with a request whose origin, if it has one, is not listed."""
        asks = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        if (is_free(scope["method"], scope["path"], headers) and not asks) or not is_foreign(headers, _host(headers)):
            return None
        self._telemetry.rejected.labels("origin").inc()
        origin = short(headers.get(b"origin", "another site"))
        return OriginRefused(
            f"a page of {origin!r} may not ask this; if it should, the service's operator adds its origin to "
            "CLPIPS_CORS_ORIGINS"
        )


def _host(headers: Mapping[bytes, str]) -> Authority | None:
    return parse_authority(headers.get(b"host", "").strip())


def _bad(detail: str) -> ProblemDetails:
    return unnamed(HTTPStatus.BAD_REQUEST, detail)


async def _answer(send: Send, problem: Problem | ProblemDetails) -> None:
    details, further = (problem.details(), problem.headers) if isinstance(problem, Problem) else (problem, {})
    headers = {"content-type": MEDIA_TYPE} | further
    await _send(send, HTTPStatus(details.status), headers, msgspec.json.encode(details))


async def _send(send: Send, status: HTTPStatus, headers: Mapping[str, str], body: bytes) -> None:
    raw: Iterable[tuple[bytes, bytes]] = [
        (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
    ]
    if status != HTTPStatus.NO_CONTENT:
        raw = [*raw, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": list(raw)})
    await send({"type": "http.response.body", "body": body, "more_body": False})
