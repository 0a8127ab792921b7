"""Admission control: a request is admitted, or refused with 503 before its body is read.

A service that takes more work than it can do answers nobody in time. So the images of all admitted requests are counted
against a bound, and a request is refused at once when its deadline would pass while it waits.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from clpips.service.admission.throughput import Throughput
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import NotReady, Overloaded

LONGEST_RETRY_SECONDS: Final = 60  # that a refused client is told to wait
USABLE_SHARE: Final = 0.7  # the part of a deadline that the predicted wait may take: later requests make it longer
AVERAGED_REQUESTS: Final = 64  # the time constant of the averages of images and bytes in a request


class Ticket:
    """An admitted request: its place in the queues (by identity), its deadline, and its images in the count."""

    __slots__ = ("body_bytes", "deadline", "images")

    def __init__(self, deadline: float, body_bytes: int, images: int) -> None:
        self.deadline = deadline  # of the event loop's clock
        self.body_bytes = body_bytes  # 0 where they are not announced
        self.images = images  # expected, until they are counted


class Door:
    """Admission control: the images of all admitted requests number at most `max_images`.

    A request that is alone is admitted whatever its size, also above `max_images`: waiting would not help it. Any other
    must have room, and `throughput` must predict that its images are done before its deadline.

    Before a body is read, the number of its images is expected from its length, by the moving averages of images and
    bytes of the requests before it; it is never expected to hold more images than those did on average.
    """

    def __init__(self, max_images: int, throughput: Throughput, telemetry: Telemetry) -> None:
        self._max_images = max_images
        self._throughput = throughput
        self._telemetry = telemetry
        self._inside: set[Ticket] = set()
        self._images = 0  # of all admitted requests
        self._usual_images = 0.0  # in a request
        self._usual_bytes = 1.0  # of its body
        self.closed = False  # True refuses every new request; admitted ones finish

    def __len__(self) -> int:
        """Requests that are admitted and not answered yet."""
        return len(self._inside)

    @contextmanager
    def admit(self, deadline: float, body_bytes: int = 0) -> Iterator[Ticket]:
        """Admit a request for as long as the context lasts.

        `deadline` is a time of the event loop's clock, `body_bytes` the length that the request announces (0 where it
        announces none); nothing of the body needs to be read yet. Raises `NotReady` when the door is closed, and
        `Overloaded` when there is no room.
        """
        if self.closed:
            self._telemetry.rejected.labels("stopping").inc()
            raise NotReady(
                "the service is stopping; send the request to another replica, or again in a moment",
                headers={"Connection": "close"},
            )
        expected = min(self._usual_images, self._usual_images * body_bytes / self._usual_bytes)
        ticket = Ticket(deadline, body_bytes, max(round(expected), 1))
        self._require_room(ticket, ticket.images)
        self._inside.add(ticket)
        self._images += ticket.images
        try:
            yield ticket
        finally:
            self._inside.remove(ticket)
            self._images -= ticket.images

    def count(self, ticket: Ticket, images: int) -> None:
        """Replace the expected number of an admitted request's images by the number of those that cost work.

        Raises `Overloaded` when there is no room for them.
        """
        self._learn(images, ticket.body_bytes)
        images = max(images, 1)
        self._require_room(ticket, images - ticket.images)
        self._images += images - ticket.images
        ticket.images = images

    def _require_room(self, ticket: Ticket, images: int) -> None:
        """Raise `Overloaded` where `images` more are too many, or cannot be done before the ticket's deadline."""
        if self._inside <= {ticket}:
            return  # alone
        total = self._images + images
        if total > self._max_images:
            self._refuse("queue_full", "as many images wait as may")
        left = ticket.deadline - asyncio.get_running_loop().time()
        if total * self._throughput.seconds_per_image > USABLE_SHARE * left:
            self._refuse("deadline", "the images that wait already take longer than this request may")

    def _learn(self, images: int, body_bytes: int) -> None:
        """Take a request into the moving averages, if it had announced its length."""
        if body_bytes:
            share = 1 / AVERAGED_REQUESTS if self._usual_images else 1.0
            self._usual_images += (images - self._usual_images) * share
            self._usual_bytes += (body_bytes - self._usual_bytes) * share

    def _refuse(self, reason: str, why: str) -> None:
        self._telemetry.rejected.labels(reason).inc()
        seconds = min(max(math.ceil(self._images * self._throughput.seconds_per_image), 1), LONGEST_RETRY_SECONDS)
        raise Overloaded(f"{why}; try again in {seconds} s", headers={"Retry-After": str(seconds)})
