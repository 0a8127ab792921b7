"""Least-recently-used cache of features, bounded in bytes, with single flight for the images that it does not hold.

An image's features depend on its bytes, its resolution and the engine alone: whoever asks for the same image again, or
at the same time, gets the same features, and they are computed once. Features that a request needs are lent to it:
until it gives them back they stay, whatever else comes. Who has brought an image is remembered for as long as its
features are there: to all others it is not known that they are.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Literal, Protocol, TypeVar

from clpips.service.batching.turns import Claims

Source = Literal["decoded", "cache", "inflight"]


class Sized(Protocol):
    """Something that knows what keeping it costs."""

    @property
    def nbytes(self) -> int: ...


SizedT = TypeVar("SizedT", bound=Sized)


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

    At most `max_bytes` are held, by the features' own `nbytes`. What is held and what is lent takes at most
    `most_bytes` together, or what is lent alone takes more: then nothing else is held. `served` is called for each
    image that is handed out, with where it came from: the `cache`, a flight that another request had begun
    (`inflight`), or its own bytes, `decoded` for this request.
    """

    def __init__(self, max_bytes: int, served: Callable[[Source], None]) -> None:
        self.max_bytes = max_bytes
        self.most_bytes = math.inf
        self._displaced = 0  # bytes of these that something else takes for a while
        self._served = served
        self._held: OrderedDict[Hashable, SizedT] = OrderedDict()  # the longest unused first
        self._flights: dict[Hashable, Flight[SizedT]] = {}
        self._lent: dict[Hashable, SizedT] = {}
        self._loans: dict[Hashable, int] = {}  # to how many requests what is lent is lent
        self._owners: dict[Hashable, set[Hashable]] = {}  # who has brought what is there or on its way
        self.nbytes = 0  # of all that is held
        self.lent_nbytes = 0  # of what is lent and not held
        self.forgotten_nbytes = 0  # of all that was held once, and is not any more

    def __len__(self) -> int:
        """Images whose features are held."""
        return len(self._held)

    def __contains__(self, key: Hashable) -> bool:
        """Whether the features are held, lent or on their way, so that `fetch` need not make them."""
        return key in self._held or key in self._lent or key in self._flights

    def peek(self, key: Hashable) -> SizedT | None:
        """What is held or lent under this key, if anything is; nobody has used it."""
        return self._held[key] if key in self._held else self._lent.get(key)

    def known_to(self, owner: Hashable, key: Hashable) -> bool:
        """Whether the features are there or on their way, and `owner` has asked for them before."""
        return owner in self._owners.get(key, ())

    @contextmanager
    def loan(self, turn: Hashable, deadline: float, owner: Hashable = None) -> Iterator[Loan[SizedT]]:
        """What is lent to a request of `owner` until the context ends."""
        loan: Loan[SizedT] = Loan(turn, deadline, owner)
        try:
            yield loan
        finally:
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
            del self._loans[key], self._lent[key]
            if key not in self._held:
                self.lent_nbytes -= features.nbytes
            self._forget_owners(key)

    def forget(self, key: Hashable) -> None:
        """Hold these features no more; who has borrowed them keeps them."""
        features = self._held.pop(key, None)
        if features is not None:
            self.nbytes -= features.nbytes
            self.forgotten_nbytes += features.nbytes
            if key in self._lent:
                self.lent_nbytes += features.nbytes
            self._forget_owners(key)

    def shrink(self, nbytes: float) -> None:
        """Forget the longest unused of what nobody has borrowed until at most `nbytes` are held."""
        excess = max(self.nbytes - nbytes, self.nbytes + self.lent_nbytes + self._displaced - self.most_bytes)
        leaving: list[Hashable] = []
        for key, features in self._held.items():
            if excess <= 0:
                break
            if key not in self._lent:
                leaving.append(key)
                excess -= features.nbytes
        for key in leaving:
            self.forget(key)

    @contextmanager
    def displaced(self, nbytes: int) -> Iterator[None]:
        """Hold so many bytes less for as long as the context lasts: something else takes them."""
        self._displaced += nbytes
        self.shrink(self.max_bytes)
        try:
            yield
        finally:
            self._displaced -= nbytes

    def _forget_owners(self, key: Hashable) -> None:
        """Forget who has brought what is neither there nor on its way any more."""
        if key not in self:
            self._owners.pop(key, None)

    def _find(self, key: Hashable) -> SizedT | None:
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        return self._lent.get(key)

    async def _fly(
        self, key: Hashable, flight: Flight[SizedT], make: Callable[[Flight[SizedT]], Awaitable[SizedT]]
    ) -> SizedT:
        features = await make(flight)
        self._keep(key, features)
        return features

    def _keep(self, key: Hashable, features: SizedT) -> None:
        if features.nbytes > self.max_bytes:
            return  # it alone would push out all others
        self._held[key] = features
        self.nbytes += features.nbytes
        self.shrink(self.max_bytes)

    def _lend(self, loan: Loan[SizedT], key: Hashable, features: SizedT) -> None:
        if key in loan.features:
            return
        loan.features[key] = features
        self._owners.setdefault(key, set()).add(loan.owner)
        self._loans[key] = self._loans.get(key, 0) + 1
        if key not in self._lent:
            self._lent[key] = features
            if key not in self._held:
                self.lent_nbytes += features.nbytes
                self.shrink(self.max_bytes)
