"""Exceptions: a class for each kind of problem that the service answers (RFC 9457), and for what goes wrong before."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from clpips_client.steps import Answer

KIND = "urn:problem-type:clpips:"
MOST_TOLD = 5  # faults in a message; `faults` has all


class ClpipsError(Exception):
    """Whatever this package raises; the message says what to do."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request."""

    pointer: str  # JSON pointer (RFC 6901) to it in the request, such as `/candidates/3`
    detail: str

    @property
    def index(self) -> int | None:
        """The place of the image in its list: 3 for `/candidates/3` and for `/pairs/3/candidate`; None has no list."""
        found = re.search(r"/(\d+)(?:/|\Z)", self.pointer)
        return int(found[1]) if found else None


class ConnectionLostError(ClpipsError):
    """The service cannot be reached, or the connection was lost before the answer came.

    `sent` says whether the request may have been carried out.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:  # a default, so that it can be pickled
        super().__init__(message)
        self.sent = sent


class OutOfTimeError(ClpipsError):
    """The time that the caller allowed is over, all tries together."""


class ProblemError(ClpipsError):
    """The service refuses the request, or fails on it. Subclasses are the kinds; `faults` names each faulty part."""

    kind: ClassVar[str] = "about:blank"

    def __init__(
        self,
        detail: str,
        faults: tuple[Fault, ...] = (),
        *,
        status: int | None = None,  # None: refused here, before anything was sent
        retry_after: float | None = None,  # seconds
    ) -> None:
        super().__init__(_message(detail, faults))
        self.detail = detail
        self.faults = faults
        self.status = status
        self.retry_after = retry_after

    @property
    def indices(self) -> list[int]:
        """The places of the images that are at fault, each once, in their order."""
        return sorted({fault.index for fault in self.faults if fault.index is not None})


class MalformedBodyError(ProblemError):
    """The body could not be read."""

    kind = "malformed-body"


class InvalidRequestError(ProblemError):
    """The request can be read but does not say what the operation needs."""

    kind = "invalid-request"


class BadImagesError(ProblemError):
    """Some images cannot be used: `indices` says which, `faults` why. Its `status` is None where none was sent."""

    kind = "bad-images"


class UnknownProfileError(ProblemError):
    """There is no profile of the name that was given for scoring."""

    kind = "unknown-profile"


class ProfileNotFoundError(ProblemError):
    """There is no profile of this name."""

    kind = "profile-not-found"


class VersionNotFoundError(ProblemError):
    """The profile has no version of this number."""

    kind = "version-not-found"


class VersionSupersededError(ProblemError):
    """The version learned from a ranking that has been forgotten or replaced, and is not used again."""

    kind = "version-superseded"


class RankingNotFoundError(ProblemError):
    """The profile keeps no ranking of this number."""

    kind = "ranking-not-found"


class ComparisonNotFoundError(ProblemError):
    """The comparison has expired: rank again."""

    kind = "comparison-not-found"


class SessionNotFoundError(ProblemError):
    """There is no such session here: it never was, has ended, or is somebody else's."""

    kind = "session-not-found"


class SessionFullError(ProblemError):
    """The session has as many candidates as it may."""

    kind = "session-full"


class ThumbnailGoneError(ProblemError):
    """No picture of this image is held any more."""

    kind = "thumbnail-gone"


class ProfileExistsError(ProblemError):
    """There is a profile of this name already."""

    kind = "profile-exists"


class BackboneMismatchError(ProblemError):
    """The profile, or the weights, are of another backbone than the service runs."""

    kind = "backbone-mismatch"


class ContentLeftOutError(ProblemError):
    """The weights use the content network, which the service leaves out."""

    kind = "content-left-out"


class ImagesNotHeldError(ProblemError):
    """Images that the caller gave by name alone are not held by the service: give the images themselves."""

    kind = "images-not-held"


class LimitReachedError(ProblemError):
    """The tenant keeps as much as it may."""

    kind = "limit-reached"


class BodyTooLargeError(ProblemError):
    """The request is larger than the service takes: `Limits(body_bytes=…)` has the client split it."""

    kind = "body-too-large"


class UnauthenticatedError(ProblemError):
    """The service needs an API key, or does not know this one."""

    kind = "unauthenticated"


class ForbiddenError(ProblemError):
    """The API key may not do this."""

    kind = "forbidden"


class TooManyRequestsError(ProblemError):
    """The API key has sent more than its rate allows, and waiting would take longer than the caller's time."""

    kind = "too-many-requests"


class OverloadedError(ProblemError):
    """The service has more work than it can do in time, and waiting would take longer than the caller's time."""

    kind = "overloaded"


class NotReadyError(ProblemError):
    """The service is starting or stopping."""

    kind = "not-ready"


class StorageUnavailableError(ProblemError):
    """The service's database does not answer."""

    kind = "storage-unavailable"


class FitFailedError(ProblemError):
    """The rankings are kept, but fitting weights to them failed."""

    kind = "fit-failed"


class FitPostponedError(ProblemError):
    """The rankings are kept; weights are fitted to them later."""

    kind = "fit-postponed"


class DeadlinePassedError(ProblemError, OutOfTimeError):
    """The service gave the request up because its time was over."""

    kind = "deadline-passed"


class RequestTimeoutError(ProblemError, OutOfTimeError):
    """The request did not reach the service within its time."""

    kind = "request-timeout"


class UnsupportedContentError(ProblemError):
    """The service does not read bodies of this kind: it is older than this client."""

    kind = "unsupported-content"


class HostRefusedError(ProblemError):
    """The service does not go by the name in its address here."""

    kind = "host-refused"


class OriginRefusedError(ProblemError):
    """The request names an origin whose pages may not use the service."""

    kind = "origin-refused"


KINDS: dict[str, type[ProblemError]] = {kind.kind: kind for kind in ProblemError.__subclasses__()}


def problem_of(answer: Answer) -> ProblemError:
    """The exception for an answer with a status of 400 or more; a proxy's page has no kind."""
    detail, kind = f"the service answered {answer.status}", ProblemError
    faults: tuple[Fault, ...] = ()
    try:
        told = json.loads(answer.content) if "problem+json" in answer.headers.get("content-type", "") else {}
        kind = KINDS.get(str(told.get("type", "")).removeprefix(KIND), ProblemError)
        detail = str(told.get("detail", detail))
        faults = tuple(Fault(str(one["pointer"]), str(one["detail"])) for one in told.get("errors", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # it is no problem document whatever it says: the status has to do
    return kind(detail, faults, status=answer.status, retry_after=_seconds(answer.headers.get("retry-after")))


def _message(detail: str, faults: Sequence[Fault]) -> str:
    """The detail, and the faults that it does not tell by itself."""
    more = [f"{fault.pointer}: {fault.detail}" for fault in faults if fault.detail not in detail]
    left_out = [f"and {len(more) - MOST_TOLD} more, which `faults` has"] if len(more) > MOST_TOLD else []
    return "; ".join([detail, *more[:MOST_TOLD], *left_out])


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and re.fullmatch(r"\d{1,6}(\.\d+)?", header.strip()) else None
