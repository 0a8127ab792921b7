"""Retries: exponential backoff with jitter, or the service's own `Retry-After`, within one budget of time.

What may have been carried out is not sent again unless sending it twice is the same as sending it once.
"""

import math
from collections.abc import Mapping
from typing import Final

from clpips_client.core import Budget, Core
from clpips_client.errors import (
    ConnectionLostError,
    FitPostponedError,
    NotReadyError,
    OutOfTimeError,
    OverloadedError,
    ProblemError,
    StorageUnavailableError,
    TooManyRequestsError,
    problem_of,
)
from clpips_client.steps import Answer, Call, Flow, Pause

FIRST_WAIT: Final = 0.1  # seconds
LONGEST_WAIT: Final = 5.0
LEAST_CONNECTING: Final = 1.0  # for a connection, however little patience there is
SPREAD: Final = 0.25  # of `Retry-After`: those who were refused together do not come back together

# Refused before anything was done, so that any request may be sent again.
REFUSED: Final = (TooManyRequestsError, OverloadedError, NotReadyError)
# Perhaps done: only a request that may be carried out twice is sent again.
UNCERTAIN: Final = (StorageUnavailableError, FitPostponedError)
OF_A_PROXY: Final = (502, 503)  # without a problem document


def call(
    core: Core,
    budget: Budget,
    method: str,
    path: str,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    repeatable: bool,
) -> Flow[Answer]:
    """The answer to a request, tried as often as the budget allows. `repeatable`: twice is the same as once.

    Raises a `ProblemError`, a `ConnectionLostError`, or an `OutOfTimeError`.
    """
    failure: ConnectionLostError | ProblemError | None = None
    tries = 0
    patience = math.inf if core.patience is None else core.patience
    away: float | None = None  # since when the service cannot be reached
    while True:
        left = budget.left()
        if left <= 0:
            raise failure or OutOfTimeError(f"{method} {path}: there was no time left to send it")
        named = {**core.headers, **(headers or {}), "X-Request-Timeout-Ms": str(max(1, int(left * 1000)))}
        asked: float | None = None
        longest = math.inf
        begun = core.clock()
        connecting = patience if away is None else patience - (begun - away)
        try:
            answer = yield Call(method, path, content, named, left, max(connecting, LEAST_CONNECTING))
            assert answer is not None  # noqa: S101 - to a call comes an answer
        except ConnectionLostError as lost:
            if lost.sent and not repeatable:
                raise
            away = None if lost.sent else begun if away is None else away
            if away is not None:
                longest = patience - (core.clock() - away)
                if longest <= 0:
                    raise
            failure = lost
        else:
            if answer.status < 400:
                return answer
            away = None
            failure = problem_of(answer)
            if not _may_try_again(failure, repeatable=repeatable):
                raise failure
            asked = failure.retry_after
        tries += 1
        wait = min(_wait(asked, tries, core.jitter()), longest)
        if wait >= budget.left():
            raise failure
        yield Pause(wait)


def _may_try_again(problem: ProblemError, *, repeatable: bool) -> bool:
    if isinstance(problem, REFUSED):
        return True
    of_a_proxy = type(problem) is ProblemError and problem.status in OF_A_PROXY
    return repeatable and (of_a_proxy or isinstance(problem, UNCERTAIN))


def _wait(asked: float | None, tries: int, jitter: float) -> float:
    """Seconds until the next try: what the service asked for and a little more, or twice as long each time."""
    if asked:  # at once is no answer to a failure
        return asked * (1 + SPREAD * jitter)
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - 1, 10)) * (0.5 + jitter / 2)
