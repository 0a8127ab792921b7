"""Least-recently-used cache of features, bounded in bytes, with single flight for the images that it does not hold.

An image's features depend on its bytes, its resolution and the engine alone: whoever asks for the same image again, or
at the same time, gets the same features, and they are computed once. Who has brought an image is remembered for as long
as its features are there: to all others it is not known that they are.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Literal, Protocol, TypeVar

Source = Literal["decoded", "cache", "inflight"]


class Sized(Protocol):
    """Something that knows what keeping it costs."""

    @property
    def nbytes(self) -> int: ...


SizedT = TypeVar("SizedT", bound=Sized)


class Flight(Generic[SizedT]):
    """Single flight: one computation of an image's features, and how many requests wait for it."""

    task: asyncio.Future[SizedT]

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline  # of the event loop's clock; the latest of all who have asked
        self.waiting = 0


class FeatureCache(Generic[SizedT]):
    """Least-recently-used cache of features, at most `max_bytes` of them by their own `nbytes`. For one event loop.

    `served` is called for each image that is handed out, with where it came from: the `cache`, a flight that another
    request had begun (`inflight`), or its own bytes, `decoded` for this request.
    """

    def __init__(self, max_bytes: int, served: Callable[[Source], None]) -> None:
        self.max_bytes = max_bytes
        self._served = served
        self._held: OrderedDict[Hashable, SizedT] = OrderedDict()  # the longest unused first
        self._flights: dict[Hashable, Flight[SizedT]] = {}
        self._owners: dict[Hashable, set[Hashable]] = {}  # who has brought what is held or on its way
        self.nbytes = 0  # of all that is held

    def __len__(self) -> int:
        """Images whose features are held."""
        return len(self._held)

    def __contains__(self, key: Hashable) -> bool:
        """Whether the features are held or on their way, so that `fetch` need not make them."""
        return key in self._held or key in self._flights

    def holds(self, key: Hashable) -> bool:
        """Whether the features are held; if so, they have been used just now."""
        if held := key in self._held:
            self._held.move_to_end(key)
        return held

    def forget(self, key: Hashable) -> None:
        """Forget what is held under this key, if anything is."""
        if (forgotten := self._held.pop(key, None)) is not None:
            self.nbytes -= forgotten.nbytes
            self._forget_owners(key)

    def known_to(self, owner: Hashable, key: Hashable) -> bool:
        """Whether the features are held or on their way, and `owner` has asked for them before."""
        return owner in self._owners.get(key, ())

    async def fetch(
        self,
        key: Hashable,
        make: Callable[[Flight[SizedT]], Awaitable[SizedT]],
        deadline: float,
        owner: Hashable = None,
        *,
        counted: bool = True,
        keep: bool = True,
    ) -> SizedT:
        """The features that `key` names; where they are not held, `make(flight)` makes them, once for all who ask.

        From then on `owner`, who has the image, is known to have it. With `counted` unset `served` is not told: of what
        belongs to an image that has been counted. With `keep` unset what is made goes to those who wait for it, and is
        not held.

        A call that is cancelled leaves the flight to the others; the last to leave cancels it. `flight.deadline` tells
        `make` until when somebody waits. Raises what `make` raises.
        """
        self._owners.setdefault(key, set()).add(owner)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            if counted:
                self._served("cache")
            return held
        flight = self._flights.get(key)
        source: Source = "decoded" if flight is None else "inflight"
        if flight is None:
            flight = self._flights[key] = Flight(deadline)
            flight.task = asyncio.ensure_future(self._fly(key, flight, make, keep))
        flight.deadline = max(flight.deadline, deadline)
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                del self._flights[key]
                flight.task.cancel()
                self._forget_owners(key)
        features = flight.task.result()
        if counted:
            self._served(source)
        return features

    async def _fly(
        self,
        key: Hashable,
        flight: Flight[SizedT],
        make: Callable[[Flight[SizedT]], Awaitable[SizedT]],
        keep: bool,
    ) -> SizedT:
        features = await make(flight)
        if keep:
            self._keep(key, features)
        return features

    def _keep(self, key: Hashable, features: SizedT) -> None:
        if features.nbytes > self.max_bytes:
            return  # it alone would push out all others
        self._held[key] = features
        self.nbytes += features.nbytes
        self.shrink(self.max_bytes)

    def shrink(self, nbytes: int) -> None:
        """Forget the longest unused until at most `nbytes` are held."""
        while self.nbytes > nbytes:
            key, forgotten = self._held.popitem(last=False)
            self.nbytes -= forgotten.nbytes
            self._forget_owners(key)

    def _forget_owners(self, key: Hashable) -> None:
        """Forget who has brought what is neither held nor on its way any more."""
        if key not in self:
            self._owners.pop(key, None)
