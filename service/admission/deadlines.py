"""Deadline propagation: a request gets its deadline here, and its work is cancelled when that passes.

The deadline is set when the request's head is there. The queues know it too, so that nothing runs after it. The work of
a client that closes its connection is cancelled in the same way.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from litestar import Request

from clpips.service.admission.door import FULL_OF_BYTES, Door, Ticket
from clpips.service.batching.errors import ClosedError, ExpiredError, QueueFullError
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import (
    ClientGone,
    DeadlinePassed,
    Fault,
    InvalidRequest,
    NotReady,
    Overloaded,
    RequestTimeout,
)
from clpips.service.wire.faults import short

T = TypeVar("T")

PRIORITY_HEADER: Final = "X-Priority"
PRIORITIES: Final = ("interactive", "bulk")
TIMEOUT_HEADER: Final = "X-Request-Timeout-Ms"
SKIP_SECONDS: Final = 5.0  # the longest that a body is skipped for


def deadline_of(header: str | None, longest: float) -> float:
    """The deadline of a request whose head has just come, as a time of the event loop's clock.

    It is `longest` seconds from now, or earlier where the client asks for less. Raises `InvalidRequest` for a header
    `X-Request-Timeout-Ms` that is no whole number above 0.
    """
    seconds = longest if header is None else min(longest, _seconds(header))
    return asyncio.get_running_loop().time() + seconds


def is_bulk(header: str | None) -> bool:
    """Whether nobody waits for the answer, as the header `X-Priority: bulk` says. Raises `InvalidRequest`."""
    priority = "interactive" if header is None else header.strip().lower()
    if priority not in PRIORITIES:
        detail = f"the header {PRIORITY_HEADER} is {short(priority)!r}, expected {' or '.join(PRIORITIES)}"
        raise InvalidRequest(detail, [Fault("", detail)])
    return priority == "bulk"


async def receive_until(
    deadline: float,
    read: Callable[[Callable[[int], None]], Awaitable[T]],
    release: Callable[[], None],
    door: Door,
    ticket: Ticket,
    telemetry: Telemetry,
) -> T:
    """The request's body, as `read` reads it; `read` is given what to call with each number of bytes that come.

    `release` gives the memory of a body back that does not come whole: at once, since an error keeps its frames, and a
    body that was given up for others goes before they fill its room. Raises `RequestTimeout` where the client has not
    sent all of it by the deadline, and `Overloaded` where there is no room for it in memory.
    """
    given_up = False

    def receive(nbytes: int) -> None:
        if given_up:  # a part that had come already
            raise TimeoutError
        door.receive(ticket, nbytes)

    try:
        async with asyncio.timeout_at(deadline) as limit:

            def give_up() -> None:
                nonlocal given_up
                given_up = True
                release()
                limit.reschedule(0.0)

            ticket.give_up_body = give_up
            return await read(receive)
    except BaseException as error:
        release()
        if not isinstance(error, TimeoutError):
            raise
        if given_up:
            telemetry.rejected.labels("bytes_full").inc()
            raise Overloaded(*door.come_again(FULL_OF_BYTES)) from None
        telemetry.rejected.labels("slow_client").inc()
        raise RequestTimeout(
            "the body did not arrive within the request's deadline; send less, or send it faster",
            headers={"Connection": "close"},
        ) from None
    finally:
        ticket.give_up_body = None


@asynccontextmanager
async def work_until(deadline: float, request: Request[Any, Any, Any], telemetry: Telemetry) -> AsyncIterator[None]:
    """Cancel the work of the context when the deadline passes or the client closes its connection.

    The request's body must have been read. Raises `DeadlinePassed` or `ClientGone` for these, `Overloaded` where a
    queue has no room, and `NotReady` where a queue is closed.
    """
    worker = asyncio.current_task()
    assert worker is not None  # noqa: S101 - there is one in a coroutine
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        worker.cancel()

    watcher = asyncio.create_task(watch())
    try:
        async with asyncio.timeout_at(deadline) as limit:
            yield
    except asyncio.CancelledError:
        if not gone or worker.uncancel() > 0:
            raise
        telemetry.rejected.labels("client_gone").inc()
        raise ClientGone from None
    except (TimeoutError, ExpiredError) as error:
        if isinstance(error, TimeoutError) and not limit.expired():
            raise
        telemetry.rejected.labels("expired").inc()
        raise DeadlinePassed(
            "the request's deadline passed before the answer was there; nothing of it goes on"
        ) from None
    except QueueFullError as error:
        telemetry.rejected.labels("queue_full").inc()
        raise Overloaded(f"{error}; try again in a second", headers={"Retry-After": "1"}) from None
    except ClosedError as error:
        raise NotReady(f"the service stopped before the answer was there: {error}") from None
    finally:
        watcher.cancel()


async def skip_body(request: Request[Any, Any, Any]) -> None:
    """Read and forget the body of a request whose answer closes the connection.

    A connection that is closed while bytes of it are unread is reset, and the client may never see its answer.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SKIP_SECONDS):
            while (event := await request.receive())["type"] == "http.request" and event["more_body"]:
                pass


def _seconds(header: str) -> float:
    if header.isascii() and header.isdecimal() and 0 < len(header) <= 12 and int(header) > 0:
        return int(header) / 1000
    detail = f"the header {TIMEOUT_HEADER} is {header!r}, expected a whole number of milliseconds above 0"
    raise InvalidRequest(detail, [Fault("", detail)])
