"""Admission control: a request is admitted, or refused with 503 before its body is read.

A service that takes more work than it can do answers nobody in time. So the images of all admitted requests are counted
against a bound, and so are the bytes of their bodies, and a request is refused at once when its deadline would pass
while it waits.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from clpips.service.admission.throughput import HEAVY_COST, Throughput
from clpips.service.batching.turns import Place
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import NotReady, Overloaded

LONGEST_RETRY_SECONDS: Final = 60  # that a refused client is told to wait
USABLE_SHARE: Final = 0.7  # the part of a deadline that the predicted wait may take: later requests make it longer
OVERTAKING_SHARE: Final = 0.25  # of the usable time, for requests that would be late but for their turns
ARRIVING_SECONDS: Final = 1.0  # for which a body that is on its way has a place in the count
BULK_SHARE: Final = 0.5  # of every bound, that bulk requests may fill: the rest is for who waits for an answer
FULL_OF_BYTES: Final = "as many bytes of requests are in hand as may"
INTERACTIVE: Final = Place()  # somebody waits for the answer, and has no key
AVERAGED_REQUESTS: Final = 64  # the time constant of the averages of images, costs and bytes in a request
AS_EXPECTED: Final = 2.0  # times what it was expected to cost, at most, a request keeps the place that it has


class Ticket:
    """An admitted request: its place in the queues (by identity), its deadline, and what it counts for."""

    __slots__ = ("body_bytes", "cost", "deadline", "give_up_body", "images", "overtakes", "place", "received_bytes")

    def __init__(self, deadline: float, body_bytes: int, place: Place) -> None:
        self.deadline = deadline  # of the event loop's clock
        self.body_bytes = body_bytes  # 0 where they are not announced
        self.images = 0  # expected, until they are counted
        self.cost = 0.0  # of these images, in units; likewise
        self.overtakes = False  # whether it came in by its turns alone
        self.place = place
        self.received_bytes = 0  # of its body
        self.give_up_body: Callable[[], None] | None = None  # refuses the rest of its body, while that is on its way


class Door:
    """Admission control: all admitted requests have at most `max_images` and bodies of `max_body_bytes` together.

    A request that is alone is admitted whatever its size, also above these bounds: waiting would not help it. Any other
    must have room, and `throughput` must predict that its images are done before its deadline: when all that is in hand
    is done by then, or when taking turns with it takes no longer. Requests that come in by their turns alone have a
    part of the time, so that those before them are not late for their sake. Bulk requests have room in half of each
    bound.

    Before a body is read, its images and their cost are expected from its length, by the moving averages of the
    requests before it; it is never expected to hold more than those did on average. What is read is not refused for the
    time that reading took, unless it holds far more than expected: that would waste what its body has cost. A body that
    does not come does not keep its place.
    """

    def __init__(
        self, max_images: int, throughput: Throughput, telemetry: Telemetry, max_body_bytes: float = math.inf
    ) -> None:
        self._max_images = max_images
        self._max_body_bytes = max_body_bytes
        self._throughput = throughput
        self._telemetry = telemetry
        self._inside: set[Ticket] = set()
        self._images = 0  # of all admitted requests
        self._cost = 0.0  # of all these
        self._overtaking = 0.0  # the part of it that came in by its turns alone
        self._arriving: dict[Ticket, float] = {}  # since when; requests whose images are expected, the first first
        self._body_bytes = 0  # that have come, of all admitted requests
        self._usual_images = 0.0  # in a request
        self._usual_cost = 0.0  # of these
        self._usual_bytes = 1.0  # of its body
        self.closed = False  # True refuses every new request; admitted ones finish
        telemetry.inflight_bytes.labels("body").set_function(lambda: self._body_bytes)

    def __len__(self) -> int:
        """Requests that are admitted and not answered yet."""
        return len(self._inside)

    @contextmanager
    def admit(
        self, deadline: float, body_bytes: int = 0, place: Place = INTERACTIVE, *, scores: bool = True
    ) -> Iterator[Ticket]:
        """Admit a request for as long as the context lasts.

        `deadline` is a time of the event loop's clock, `body_bytes` the length that the request announces (0 where it
        announces none); nothing of the body needs to be read yet. One that does not score images (`scores`) counts
        with its body alone. Raises `NotReady` when the door is closed, and `Overloaded` when there is no room.
        """
        if self.closed:
            self._telemetry.rejected.labels("stopping").inc()
            raise NotReady(
                "the service is stopping; send the request to another replica, or again in a moment",
                headers={"Connection": "close"},
            )
        ticket = Ticket(deadline, body_bytes, place)
        if scores:
            images, cost = self._expected(body_bytes)
            self._forget_late_bodies()
            self._require_room(ticket, images, cost)
        if self._has_no_room_for_body(ticket, body_bytes):
            self._refuse("bytes_full", FULL_OF_BYTES)
        self._inside.add(ticket)
        self._throughput.requests += scores
        if scores:
            self._book(ticket, images, cost)
            self._arriving[ticket] = asyncio.get_running_loop().time()
        try:
            yield ticket
        finally:
            self._inside.remove(ticket)
            self._throughput.requests -= scores
            self._arriving.pop(ticket, None)
            self._book(ticket, 0, 0.0)
            self._body_bytes -= ticket.received_bytes

    def require_room(self, deadline: float, body_bytes: int, place: Place = INTERACTIVE) -> None:
        """Raise `Overloaded` where `admit` would for the images of such a request, and count it as refused.

        A closed door lets everybody through: what it says is `admit`'s to say.
        """
        if not self.closed:
            self._forget_late_bodies()
            self._require_room(Ticket(deadline, body_bytes, place), *self._expected(body_bytes))

    def receive(self, ticket: Ticket, nbytes: int) -> None:
        """Count bytes of an admitted request's body that have come.

        When there is no room, the largest body that is still on its way is given up. Raises `Overloaded` where that is
        this one.
        """
        while self._has_no_room_for_body(ticket, nbytes):
            arriving = [other for other in self._inside if other.give_up_body is not None and other is not ticket]
            largest = max(arriving, key=lambda other: other.received_bytes, default=ticket)
            if largest.received_bytes <= ticket.received_bytes + nbytes or largest.give_up_body is None:
                self._refuse("bytes_full", FULL_OF_BYTES)
            largest.give_up_body()
            largest.give_up_body = None
            self._body_bytes -= largest.received_bytes
            largest.received_bytes = 0
        self._body_bytes += nbytes
        ticket.received_bytes += nbytes

    def count(self, ticket: Ticket, images: int, cost: float | None = None) -> None:
        """Replace what an admitted request was expected to cost by what it does.

        `images` are those that cost work, and `cost` what they cost together, in units; by default one each. Raises
        `Overloaded` when there is no room for them.
        """
        cost = float(images) if cost is None else cost
        self._learn(images, cost, ticket.body_bytes)
        self._arriving.pop(ticket, None)
        images, cost = max(images, 1), max(cost, 1.0)
        as_expected = ticket.body_bytes > 0 and cost <= AS_EXPECTED * ticket.cost
        self._require_room(ticket, images, cost, timely=as_expected)
        self._book(ticket, images, cost)

    def _expected(self, body_bytes: int) -> tuple[int, float]:
        """Images in a body of this length, and their cost in units, by what those before it held."""
        share = min(1.0, body_bytes / self._usual_bytes)
        return max(round(self._usual_images * share), 1), max(self._usual_cost * share, 1.0)

    def _book(self, ticket: Ticket, images: int, cost: float) -> None:
        """Count so many images and so much cost for a ticket, in place of what was counted before."""
        self._images += images - ticket.images
        self._cost += cost - ticket.cost
        if ticket.overtakes:
            self._overtaking += cost - ticket.cost
        ticket.images, ticket.cost = images, cost

    def _forget_late_bodies(self) -> None:
        """Count no more what is expected of bodies that have been on their way for long."""
        now = asyncio.get_running_loop().time()
        while self._arriving:
            ticket, since = next(iter(self._arriving.items()))
            if now - since < ARRIVING_SECONDS:
                return
            del self._arriving[ticket]
            self._book(ticket, 0, 0.0)

    def _require_room(self, ticket: Ticket, images: int, cost: float, *, timely: bool = False) -> None:
        """Raise `Overloaded` where so much of a request is too much, or cannot be done before the ticket's deadline.

        With `timely` the latter is taken as given.
        """
        if self._throughput.requests <= (ticket in self._inside):
            return  # alone
        share = BULK_SHARE if ticket.place.bulk else 1.0
        if self._images - ticket.images + images > self._max_images * share:
            self._refuse("queue_full", "as many images wait as may")
        if timely:
            return
        left = ticket.deadline - asyncio.get_running_loop().time()
        usable = USABLE_SHARE * share * left
        pace = self._throughput.seconds_per_unit
        if (self._cost - ticket.cost + cost) * pace <= usable:
            return
        overtaking = self._overtaking - (ticket.cost if ticket.overtakes else 0.0) + cost
        if overtaking * pace > OVERTAKING_SHARE * usable or self._cost_by_turns(ticket, images, cost) * pace > usable:
            self._refuse("deadline", "the images that wait already take longer than this request may")
        if not ticket.overtakes:
            ticket.overtakes = True
            self._overtaking += ticket.cost

    def _cost_by_turns(self, ticket: Ticket, images: int, cost: float) -> float:
        """What is done until a request is, which takes turns with all others: an image of each for each of its own."""
        total = cost
        for other in self._inside:
            if other is ticket or not other.images or (other.place.bulk and not ticket.place.bulk):
                continue
            one = other.cost / other.images
            # A heavy image runs beside light ones, which so take twice or three times as long, and do not wait for it.
            total += min(other.cost, 2 * cost if one >= HEAVY_COST > cost / images else images * one)
        return total

    def _has_no_room_for_body(self, ticket: Ticket, nbytes: int) -> bool:
        share = BULK_SHARE if ticket.place.bulk else 1.0
        return not self._inside <= {ticket} and self._body_bytes + nbytes > self._max_body_bytes * share

    def _learn(self, images: int, cost: float, body_bytes: int) -> None:
        """Take a request into the moving averages, if it had announced its length."""
        if body_bytes:
            share = 1 / AVERAGED_REQUESTS if self._usual_images else 1.0
            self._usual_images += (images - self._usual_images) * share
            self._usual_cost += (cost - self._usual_cost) * share
            self._usual_bytes += (body_bytes - self._usual_bytes) * share

    def _refuse(self, reason: str, why: str) -> NoReturn:
        self._telemetry.rejected.labels(reason).inc()
        raise Overloaded(*self.come_again(why))

    def come_again(self, why: str) -> tuple[str, tuple[()], dict[str, str]]:
        """What `Overloaded` says: why, no fault of the request's, and when to come again."""
        seconds = min(max(math.ceil(self._cost * self._throughput.seconds_per_unit), 1), LONGEST_RETRY_SECONDS)
        return f"{why}; try again in {seconds} s", (), {"Retry-After": str(seconds)}
