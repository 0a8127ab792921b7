"""Exception handlers: what each exception is to a client. Here alone meet the domain's exceptions and HTTP.

Problems say themselves what they are; storage's exceptions, which know nothing of clients, become problems here.
"""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from clpips.service.decoding.pool import NoDecoderError
from clpips.service.problems import (
    MEDIA_TYPE,
    ClientGone,
    Fault,
    InvalidRequest,
    LimitReached,
    NotReady,
    Problem,
    ProblemDetails,
    ProfileExists,
    ProfileNotFound,
    RankingNotFound,
    SessionFull,
    SessionNotFound,
    StorageUnavailable,
    VersionNotFound,
    VersionSuperseded,
    unnamed,
)
from clpips.service.routes.parameters import AnyRequest
from clpips.service.storage.errors import (
    NameTakenError,
    ProfileMissingError,
    QuotaReachedError,
    RankingMissingError,
    RefusedError,
    SessionFullError,
    SessionMissingError,
    StorageError,
    VersionMissingError,
    VersionSupersededError,
)

# What storage refuses: the kind of problem that it is, and what the client can do about it.
REFUSALS: dict[type[RefusedError], tuple[type[Problem], str]] = {
    ProfileMissingError: (ProfileNotFound, "`GET /profiles` lists them, `POST /profiles` makes one"),
    NameTakenError: (ProfileExists, "teach it, or choose another name"),
    VersionMissingError: (VersionNotFound, "`GET /profiles/{name}` lists them"),
    VersionSupersededError: (VersionSuperseded, "use another, or teach it the same again"),
    RankingMissingError: (RankingNotFound, "`GET /profiles/{name}/rankings` downloads those that are kept"),
    SessionMissingError: (SessionNotFound, "`POST /sessions` makes one"),
    SessionFullError: (SessionFull, "make another one"),
    QuotaReachedError: (LimitReached, "forget or delete some first"),
}

log = structlog.get_logger()


def answer_problem(_: AnyRequest, problem: Problem) -> Response[bytes]:
    """A problem in its own words."""
    return _response(problem.details(), problem.headers)


def answer_refusal(request: AnyRequest, error: RefusedError) -> Response[bytes]:
    """What the database knows and does not do."""
    kind, advice = REFUSALS[type(error)]
    return answer_problem(request, kind(f"{error}; {advice}"))


def answer_storage_error(request: AnyRequest, error: StorageError) -> Response[bytes]:
    """503 where only the database knows, and does not answer: the log gets the reason."""
    log.error("database not available", reason=str(error))
    return answer_problem(
        request, StorageUnavailable("the database does not answer; try again", headers={"retry-after": "5"})
    )


def answer_no_decoder(request: AnyRequest, error: NoDecoderError) -> Response[bytes]:
    """503 where no process can be had that decodes the image: the log gets the reason."""
    log.error("no decoder", reason=str(error))
    return answer_problem(
        request, NotReady("no process can be started to decode the images; try again", headers={"retry-after": "2"})
    )


def answer_wrong_parameter(request: AnyRequest, error: ValidationException) -> Response[bytes]:
    """Parameters of a path or of a query that the framework has checked, as fields of a body are answered."""
    extra = error.extra if isinstance(error.extra, list) else []
    wrong = [f"{one['key']}: {one['message']}" for one in extra if "key" in one]
    if not wrong:
        return answer_http_exception(request, error)
    return answer_problem(request, InvalidRequest("; ".join(wrong), [Fault("", one) for one in wrong]))


def answer_http_exception(_: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses: an unknown path, a wrong method, a broken header."""
    status = HTTPStatus(error.status_code)
    return _response(unnamed(status, error.detail), error.headers or {})


def answer_client_gone(_: AnyRequest, __: ClientGone) -> Response[bytes]:
    """For the log and the metrics alone; 400 is what an incomplete request deserves."""
    detail = "the client closed the connection before it had its answer"
    return _response(unnamed(HTTPStatus.BAD_REQUEST, detail), {})


def answer_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """500 for a fault of ours: the log gets the traceback, the client gets no internals."""
    log.error("request failed", path=request.url.path, exc_info=error)
    detail = "the service failed on this request; its log has the reason under the request id of this answer"
    return _response(unnamed(HTTPStatus.INTERNAL_SERVER_ERROR, detail), {})


EXCEPTION_HANDLERS: dict[type[Exception] | int, Any] = {
    Problem: answer_problem,
    RefusedError: answer_refusal,
    StorageError: answer_storage_error,
    NoDecoderError: answer_no_decoder,
    ValidationException: answer_wrong_parameter,
    HTTPException: answer_http_exception,
    ClientGone: answer_client_gone,
    Exception: answer_unexpected,
}


def _response(details: ProblemDetails, headers: dict[str, str]) -> Response[bytes]:
    content = msgspec.json.encode(details)
    return Response(content, status_code=int(details.status), headers=headers, media_type=MEDIA_TYPE)
