"""Problem details (RFC 9457): the kinds of problem that a request can have, each with its status and title.

They are raised in any room; `routes/answers.py` makes them answers.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

MEDIA_TYPE = "application/problem+json"


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request, and where it stands."""

    pointer: Annotated[str, Meta(description="JSON pointer (RFC 6901) to it in the body.", examples=["/candidates/3"])]
    detail: Annotated[str, Meta(description="What is wrong with it, and what to do.")]


class ProblemDetails(msgspec.Struct, omit_defaults=True):
    """The body of every error (RFC 9457)."""

    type: Annotated[str, Meta(description="Which kind of problem it is; the same kind always has the same URI.")]
    title: Annotated[str, Meta(description="The kind of problem in a few words.")]
    status: Annotated[int, Meta(description="The HTTP status code.")]
    detail: Annotated[str, Meta(description="What happened this time, and what to do.")]
    errors: Annotated[Sequence[Fault], Meta(description="Each faulty part of the request, all of them.")] = ()


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """A request that cannot be answered. The subclasses are the kinds; `errors` names each faulty part."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    kind: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, errors: Sequence[Fault] = (), headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def details(self) -> ProblemDetails:
        """What the client is told."""
        return ProblemDetails(
            f"urn:problem-type:clpips:{self.kind}", self.title, int(self.status), self.detail, self.errors
        )


def unnamed(status: HTTPStatus, detail: str) -> ProblemDetails:
    """A problem that its status says all of: the type `about:blank`."""
    return ProblemDetails("about:blank", status.phrase, int(status), detail)


class MalformedBody(Problem):
    """The body is not what its content type says: not JSON, not MessagePack, not multipart, not base64."""

    status, kind, title = HTTPStatus.BAD_REQUEST, "malformed-body", "The body cannot be read"


class InvalidRequest(Problem):
    """The body can be read but does not say what the operation needs."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "The request is not valid"


class BadImages(Problem):
    """Some images cannot be decoded or are outside the limits."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "bad-images", "Some images cannot be used"


class UnknownProfile(Problem):
    """There is no profile of this name."""

    status, kind, title = HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-profile", "There is no such profile"


class ProfileNotFound(Problem):
    """The path names a profile that the tenant does not have."""

    status, kind, title = HTTPStatus.NOT_FOUND, "profile-not-found", "There is no such profile"


class VersionNotFound(Problem):
    """A profile has no version of this number."""

    status, kind, title = HTTPStatus.NOT_FOUND, "version-not-found", "There is no such version"


class RankingNotFound(Problem):
    """A profile keeps no ranking of this number."""

    status, kind, title = HTTPStatus.NOT_FOUND, "ranking-not-found", "There is no such ranking"


class VersionSuperseded(Problem):
    """A version that learned from a ranking which has been forgotten or replaced since: it is not used again."""

    status, kind, title = HTTPStatus.CONFLICT, "version-superseded", "The version is not used again"


class ComparisonNotFound(Problem):
    """A comparison that has expired, or never was: the client sends the images instead."""

    status, kind, title = HTTPStatus.NOT_FOUND, "comparison-not-found", "There is no such comparison"


class SessionNotFound(Problem):
    """A session that the caller does not have: it never was, is deleted or expired, or belongs to somebody else."""

    status, kind, title = HTTPStatus.NOT_FOUND, "session-not-found", "There is no such session"


class ThumbnailGone(Problem):
    """An image of a session of which no picture is held here."""

    status, kind, title = HTTPStatus.NOT_FOUND, "thumbnail-gone", "There is no picture of the image"


class SessionFull(Problem):
    """A session has as many candidates as it may."""

    status, kind, title = HTTPStatus.CONFLICT, "session-full", "The session is full"


class ProfileExists(Problem):
    """A profile of this name is there already."""

    status, kind, title = HTTPStatus.CONFLICT, "profile-exists", "There is such a profile already"


class BackboneMismatch(Problem):
    """A profile, or weights, of another backbone than the one that the service runs."""

    status, kind, title = HTTPStatus.CONFLICT, "backbone-mismatch", "The backbone is another one"


class ContentLeftOut(Problem):
    """Weights that use the content network, which this service leaves out."""

    status, kind, title = HTTPStatus.CONFLICT, "content-left-out", "The content network is left out here"


class LimitReached(Problem):
    """The tenant keeps as much as it may."""

    status, kind, title = HTTPStatus.FORBIDDEN, "limit-reached", "A limit is reached"


class StorageUnavailable(Problem):
    """The database cannot be reached, or is too busy, at this moment."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "storage-unavailable", "The database is not available"


class FitFailed(Problem):
    """The rankings are kept, but the worker that fits weights to them failed."""

    status, kind, title = HTTPStatus.INTERNAL_SERVER_ERROR, "fit-failed", "The fit failed"


class FitPostponed(Problem):
    """The rankings are kept, but no process can be started to fit weights to them at this moment."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "fit-postponed", "The fit is postponed"


class Unauthenticated(Problem):
    """The request has no API key, or one that is not known."""

    status, kind, title = HTTPStatus.UNAUTHORIZED, "unauthenticated", "An API key is needed"


class Forbidden(Problem):
    """The API key does not have the scope that the operation needs."""

    status, kind, title = HTTPStatus.FORBIDDEN, "forbidden", "The API key may not do this"


class HostRefused(Problem):
    """The request's `Host` is a name that the service does not go by: it may be another site's."""

    status, kind, title = HTTPStatus.FORBIDDEN, "host-refused", "The service has another name"


class OriginRefused(Problem):
    """The request comes from a page of another site than the service's own, and that site is not allowed."""

    status, kind, title = HTTPStatus.FORBIDDEN, "origin-refused", "The page may not ask this"


class TooManyRequests(Problem):
    """The API key has sent more requests than its rate allows."""

    status, kind, title = HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"


class ImagesNotHeld(Problem):
    """Images were named by hash whose features the service does not hold: the client sends the bytes."""

    status, kind, title = HTTPStatus.CONFLICT, "images-not-held", "Some images must be sent"


class BodyTooLarge(Problem):
    """The body is above the limit."""

    status, kind, title = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", "The body is too large"


class UnsupportedContent(Problem):
    """The body has a content type or a content encoding that the service does not read."""

    status, kind, title = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-content", "The content type is not supported"


class NotReady(Problem):
    """The service cannot take requests at this moment."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "The service is not ready"


class Overloaded(Problem):
    """There is more work than can be done in time: come back after `Retry-After` seconds."""

    status, kind, title = HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "The service is overloaded"


class DeadlinePassed(Problem):
    """The answer was not there when the request's deadline passed."""

    status, kind, title = HTTPStatus.GATEWAY_TIMEOUT, "deadline-passed", "The deadline has passed"


class RequestTimeout(Problem):
    """The client sent its body too slowly."""

    status, kind, title = HTTPStatus.REQUEST_TIMEOUT, "request-timeout", "The body came too slowly"


class ClientGone(Exception):  # noqa: N818 - an event, not a fault of ours
    """The client closed the connection before it had its answer: nobody reads it."""
