"""How an image stands in a queue: at the turns of all who wait for it, for as long as somebody does."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from clpips.service.admission.door import Ticket
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import ExpiredError
from clpips.service.batching.feature_cache import Flight
from clpips.service.batching.turns import Place


def place(turn: Hashable) -> Place:
    """Where a request stands, by its ticket."""
    return turn.place if isinstance(turn, Ticket) else Place()


async def in_time(
    queue: Batcher[Any, Any], item: Any, flight: Flight[Any], shape: Hashable = None, cost: float = 1.0
) -> Any:
    """The item's result, for as long as somebody waits for it: others with later deadlines may have joined."""
    while True:
        try:
            return await queue.submit(item, turn=flight.claims, deadline=flight.deadline, shape=shape, cost=cost)
        except ExpiredError:
            if flight.deadline <= asyncio.get_running_loop().time():
                raise


@contextmanager
def own_flight(ticket: Ticket) -> Iterator[Flight[Any]]:
    """A flight for one request alone, which waits until the context ends."""
    flight: Flight[Any] = Flight(ticket, ticket.deadline)
    flight.waiting = 1
    try:
        yield flight
    finally:
        flight.waiting = 0
