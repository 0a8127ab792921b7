"""The door: who comes in, until when they are waited for, and what those hear who must come back later.

A service that takes more than it can do answers nobody in time. So the images of all admitted requests are counted
against a bound, a request whose deadline would pass while it waits is refused at once, and a client that goes away
takes its work along.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

from litestar import Request

from clpips.service.admission.throughput import Pace
from clpips.service.batching.batcher import ClosedError, ExpiredError, QueueFullError
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

T = TypeVar("T")

TIMEOUT_HEADER: Final = "X-Request-Timeout-Ms"
LONGEST_RETRY_SECONDS: Final = 60
SKIP_SECONDS: Final = 5.0
HEADROOM: Final = 0.7  # requests are served in turn: who comes later delays those who are inside
MEMORY: Final = 64  # requests over which it is learned what they hold


class Ticket:
    """An admitted request: its place in the queues (by identity), its deadline, and its images in the count."""

    __slots__ = ("body_bytes", "deadline", "images")

    def __init__(self, deadline: float, body_bytes: int, images: int) -> None:
        self.deadline = deadline  # of the event loop's clock
        self.body_bytes = body_bytes  # 0 where they are not announced
        self.images = images  # expected, until they are counted


class Door:
    """Admits requests while the images of all that are inside number at most `max_images`.

    `seconds` is the longest that a request may take, from its head to its answer. By `pace` it is known how long those
    inside will take. A body costs something to read, so how many images one holds is expected from its length, as
    those before it had them, and no more than they had on average.
    """

    def __init__(self, max_images: int, seconds: float, pace: Pace, telemetry: Telemetry) -> None:
        self._max_images = max_images
        self._seconds = seconds
        self._telemetry = telemetry
        self._inside: set[Ticket] = set()
        self._images = 0  # of all who are inside
        self._pace = pace
        self._usual_images = 0.0  # of a request
        self._usual_bytes = 1.0
        self.closed = False  # no new request comes in; those inside finish

    def __len__(self) -> int:
        """Requests that are inside."""
        return len(self._inside)

    @contextmanager
    def admit(self, timeout_header: str | None, body_bytes: int = 0) -> Iterator[Ticket]:
        """Let a request in, for as long as the context lasts.

        Nothing of its body, of `body_bytes` (0: not announced), needs to be read yet. Raises `NotReady` when the door
        is closed, `Overloaded` when there is no room, `InvalidRequest` for a timeout that is none.
        """
        seconds = self._seconds if timeout_header is None else min(self._seconds, _seconds(timeout_header))
        if self.closed:
            self._telemetry.rejected.labels("stopping").inc()
            raise NotReady(
                "the service is stopping; send the request to another replica, or again in a moment",
                headers={"Connection": "close"},
            )
        expected = min(self._usual_images, self._usual_images * body_bytes / self._usual_bytes)
        ticket = Ticket(asyncio.get_running_loop().time() + seconds, body_bytes, max(round(expected), 1))
        self._require_room(ticket, ticket.images)
        self._inside.add(ticket)
        self._images += ticket.images
        try:
            yield ticket
        finally:
            self._inside.remove(ticket)
            self._images -= ticket.images

    def count(self, ticket: Ticket, images: int) -> None:
        """Say how many images the request has that cost work. Raises `Overloaded` when there is no room for them."""
        self._learn(images, ticket.body_bytes)
        images = max(images, 1)
        self._require_room(ticket, images - ticket.images)
        self._images += images - ticket.images
        ticket.images = images

    def _require_room(self, ticket: Ticket, images: int) -> None:
        """Refuse where `images` more are too many, or cannot be done before the ticket's deadline."""
        if self._inside <= {ticket}:
            return  # alone: whatever it is, there is no better time for it
        total = self._images + images
        if total > self._max_images:
            self._refuse("queue_full", "as many images wait as may")
        left = ticket.deadline - asyncio.get_running_loop().time()
        if total * self._pace.seconds > HEADROOM * left:
            self._refuse("deadline", "the images that wait already take longer than this request may")

    def _learn(self, images: int, body_bytes: int) -> None:
        if body_bytes:
            share = 1 / MEMORY if self._usual_images else 1.0
            self._usual_images += (images - self._usual_images) * share
            self._usual_bytes += (body_bytes - self._usual_bytes) * share

    def _refuse(self, reason: str, why: str) -> None:
        self._telemetry.rejected.labels(reason).inc()
        seconds = min(max(math.ceil(self._images * self._pace.seconds), 1), LONGEST_RETRY_SECONDS)
        raise Overloaded(f"{why}; try again in {seconds} s", headers={"Retry-After": str(seconds)})


def _seconds(header: str) -> float:
    if header.isascii() and header.isdecimal() and 0 < len(header) <= 12 and int(header) > 0:
        return int(header) / 1000
    detail = f"the header {TIMEOUT_HEADER} is {header!r}, expected a whole number of milliseconds above 0"
    raise InvalidRequest(detail, [Fault("", detail)])


async def received(reading: Awaitable[T], ticket: Ticket, telemetry: Telemetry) -> T:
    """The request's body; raises `RequestTimeout` where the client is slower than the request's deadline."""
    try:
        async with asyncio.timeout_at(ticket.deadline):
            return await reading
    except TimeoutError:
        telemetry.rejected.labels("slow_client").inc()
        raise RequestTimeout(
            "the body did not arrive within the request's deadline; send less, or send it faster",
            headers={"Connection": "close"},
        ) from None


async def skip_body(request: Request[Any, Any, Any]) -> None:
    """Read and forget the body of a request whose answer closes the connection.

    A connection closed on bytes that nobody read is reset, and the client may never see its answer.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SKIP_SECONDS):
            while (event := await request.receive())["type"] == "http.request" and event["more_body"]:
                pass


@asynccontextmanager
async def answering(request: Request[Any, Any, Any], ticket: Ticket, telemetry: Telemetry) -> AsyncIterator[None]:
    """Work on a request whose body is read, until its deadline passes or its client goes: then the work is cancelled.

    Raises `DeadlinePassed`, `ClientGone`, or `Overloaded` where a queue has no room.
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
        async with asyncio.timeout_at(ticket.deadline) as limit:
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
