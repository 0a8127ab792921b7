"""Least-recently-used cache of features, bounded in bytes, with single flight for the images that it does not hold.

An image's features depend on its bytes, its resolution and the engine alone: whoever asks for the same image again, or
at the same time, gets the same features, and they are computed once. Features that a request needs are lent to it:
until it gives them back they stay, whatever else comes. Who has brought an image is remembered for as long as its
features are there: to all others it is not known that they are. Each memory has its own bounds (`shelf.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Literal

from clpips.service.batching.shelf import Shelf, SizedT
from clpips.service.batching.turns import Claims

Source = Literal["decoded", "cache", "inflight"]


class Flight(Generic[SizedT]):
    """Single flight: one computation of an image's features, for all requests that wait for it."""

    task: asyncio.Future[SizedT]

    def __init__(self, turn: Hashable, deadline: float) -> None:
        self.deadline = deadline  # of the event loop's clock; the latest of all who have asked
        self.claims = Claims(turn)  # whose turns it may be served at
        self.waiting = 0

    def join(self, turn: Hashable, deadline: float) -> None:
        """One more request waits, and brings the image to its own turn."""
        self.deadline = max(self.deadline, deadline)
        self.claims.join(turn)


class Loan(Generic[SizedT]):
    """The features that are lent to one request."""

    def __init__(self, turn: Hashable, deadline: float, owner: Hashable) -> None:
        self.turn = turn  # the request, as the queues know it
        self.deadline = deadline
        self.owner = owner  # whose request it is
        self.features: dict[Hashable, SizedT] = {}


class FeatureCache(Generic[SizedT]):
    """Least-recently-used cache of features. For one event loop.

    `memory_of` says in which memory features lie; each has a shelf, which holds `max_bytes` of them at most, by their
    own `nbytes`. `served` is called for each image that is handed out, with where it came from: the `cache`, a flight
    that another request had begun (`inflight`), or its own bytes, `decoded` for this request.
    """

    def __init__(
        self, max_bytes: int, served: Callable[[Source], None], memory_of: Callable[[SizedT], Hashable] = lambda _: None
    ) -> None:
        self._max_bytes = max_bytes
        self._served = served
        self._memory_of = memory_of
        self._shelves: dict[Hashable, Shelf[SizedT]] = {}  # by memory
        self._flights: dict[Hashable, Flight[SizedT]] = {}
        self._borrowers: set[Loan[SizedT]] = set()
        self._loans: dict[Hashable, int] = {}  # to how many requests what is lent is lent
        self._owners: dict[Hashable, set[Hashable]] = {}  # who has brought what is there or on its way

    def __len__(self) -> int:
        """Images whose features are held."""
        return sum(len(shelf.held) for shelf in self._shelves.values())

    def __contains__(self, key: Hashable) -> bool:
        """Whether the features are held, lent or on their way, so that `fetch` need not make them."""
        return key in self._flights or any(key in shelf for shelf in self._shelves.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all that is held."""
        return sum(shelf.nbytes for shelf in self._shelves.values())

    @property
    def lent_nbytes(self) -> int:
        """Bytes of what is lent and not held."""
        return sum(shelf.lent_nbytes for shelf in self._shelves.values())

    def shelf(self, memory: Hashable = None) -> Shelf[SizedT]:
        """What lies in this memory, and its bounds."""
        if memory not in self._shelves:
            self._shelves[memory] = Shelf(self._max_bytes, self._forget_owners)
        return self._shelves[memory]

    def peek(self, key: Hashable) -> SizedT | None:
        """What is held or lent under this key, if anything is; nobody has used it."""
        found = (shelf.peek(key) for shelf in self._shelves.values())
        return next((features for features in found if features is not None), None)

    def known_to(self, owner: Hashable, key: Hashable) -> bool:
        """Whether the features are there or on their way, and `owner` has asked for them before."""
        return owner in self._owners.get(key, ())

    @contextmanager
    def loan(self, turn: Hashable, deadline: float, owner: Hashable = None) -> Iterator[Loan[SizedT]]:
        """What is lent to a request of `owner` until the context ends."""
        loan: Loan[SizedT] = Loan(turn, deadline, owner)
        self._borrowers.add(loan)
        try:
            yield loan
        finally:
            self._borrowers.remove(loan)
            for key in list(loan.features):
                self.give_back(loan, key)

    def reserve(self, loan: Loan[SizedT], key: Hashable) -> bool:
        """Lend the features if they are there; whether they are there or on their way."""
        features = self._find(key)
        if features is not None:
            self._lend(loan, key, features)
        return key in self

    async def fetch(
        self,
        loan: Loan[SizedT],
        key: Hashable,
        make: Callable[[Flight[SizedT]], Awaitable[SizedT]],
        *,
        counted: bool = True,
    ) -> SizedT:
        """Lend the features that `key` names; what is not held `make(flight)` makes, once for all who ask.

        From then on the request's owner, who has the image, is known to have it. With `counted` unset `served` is not
        told: of what belongs to an image that has been counted.

        A call that is cancelled leaves the flight to the others; the last to leave cancels it. `flight.deadline` tells
        `make` until when somebody waits, and `flight.claims` who. Raises what `make` raises.
        """
        self._owners.setdefault(key, set()).add(loan.owner)
        found = self._find(key)
        if found is not None:
            self._lend(loan, key, found)
            if counted:
                self._served("cache")
            return found
        flight = self._flights.get(key)
        source: Source = "decoded" if flight is None else "inflight"
        if flight is None:
            flight = self._flights[key] = Flight(loan.turn, loan.deadline)
            flight.task = asyncio.ensure_future(self._fly(key, flight, make))
        else:
            flight.join(loan.turn, loan.deadline)
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            flight.claims.leave(loan.turn)
            if not flight.waiting:
                del self._flights[key]
                flight.task.cancel()
                self._forget_owners(key)
        features = flight.task.result()
        self._lend(loan, key, features)
        if counted:
            self._served(source)
        return features

    def give_back(self, loan: Loan[SizedT], key: Hashable) -> None:
        """The request does not need these features any more, if they were lent to it."""
        features = loan.features.pop(key, None)
        if features is None:
            return
        self._loans[key] -= 1
        if not self._loans[key]:
            del self._loans[key]
            self.shelf(self._memory_of(features)).give_back(key)
            self._forget_owners(key)

    def forget(self, key: Hashable) -> None:
        """Hold these features no more; who has borrowed them keeps them."""
        for shelf in self._shelves.values():
            shelf.forget(key)

    def lose(self, memory: Hashable) -> None:
        """A memory is lost with all that lies there. What is lent of it is lent no more: it must be made anew."""
        for loan in self._borrowers:
            for key, features in list(loan.features.items()):
                if self._memory_of(features) == memory:
                    self.give_back(loan, key)
        shelf = self.shelf(memory)
        for key in list(shelf.held):
            shelf.forget(key)

    def _forget_owners(self, key: Hashable) -> None:
        """Forget who has brought what is neither there nor on its way any more."""
        if key not in self:
            self._owners.pop(key, None)

    def _find(self, key: Hashable) -> SizedT | None:
        found = (shelf.find(key) for shelf in self._shelves.values())
        return next((features for features in found if features is not None), None)

    async def _fly(
        self, key: Hashable, flight: Flight[SizedT], make: Callable[[Flight[SizedT]], Awaitable[SizedT]]
    ) -> SizedT:
        features = await make(flight)
        self.shelf(self._memory_of(features)).keep(key, features)
        return features

    def _lend(self, loan: Loan[SizedT], key: Hashable, features: SizedT) -> None:
        if key in loan.features:
            return
        loan.features[key] = features
        self._owners.setdefault(key, set()).add(loan.owner)
        self._loans[key] = self._loans.get(key, 0) + 1
        self.shelf(self._memory_of(features)).lend(key, features)
