"""Least-recently-used store of one memory, bounded in bytes: what is held there, and what is lent of it."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that knows what keeping it costs."""

    @property
    def nbytes(self) -> int: ...


SizedT = TypeVar("SizedT", bound=Sized)


class Shelf(Generic[SizedT]):
    """What lies in one memory. For one event loop.

    At most `max_bytes` are held. What is held and what is lent takes at most `most_bytes` together, or what is lent
    alone takes more: then nothing else is held. `forgotten` is called for what is not held any more.
    """

    def __init__(self, max_bytes: int, forgotten: Callable[[Hashable], None] = lambda _: None) -> None:
        self.max_bytes = max_bytes
        self.most_bytes = math.inf
        self._forgotten = forgotten
        self._displaced = 0  # bytes of these that something else takes for a while
        self.held: OrderedDict[Hashable, SizedT] = OrderedDict()  # the longest unused first
        self.lent: dict[Hashable, SizedT] = {}
        self.nbytes = 0  # of all that is held
        self.lent_nbytes = 0  # of what is lent and not held
        self.borrowed_nbytes = 0  # of all that is lent
        self.forgotten_nbytes = 0  # of all that was held once, and is not any more

    def __contains__(self, key: Hashable) -> bool:
        return key in self.held or key in self.lent

    def peek(self, key: Hashable) -> SizedT | None:
        """What is held or lent under this key, if anything is; nobody has used it."""
        return self.held[key] if key in self.held else self.lent.get(key)

    def find(self, key: Hashable) -> SizedT | None:
        """What is held or lent under this key, and used now."""
        if key in self.held:
            self.held.move_to_end(key)
        return self.peek(key)

    def keep(self, key: Hashable, features: SizedT) -> None:
        """Hold something from now on, unless it alone would push out all others."""
        if features.nbytes > self.max_bytes:
            return
        self.held[key] = features
        self.nbytes += features.nbytes
        self.shrink(self.max_bytes)

    def lend(self, key: Hashable, features: SizedT) -> None:
        """It stays from now on, whatever else comes."""
        if key in self.lent:
            return
        self.lent[key] = features
        self.borrowed_nbytes += features.nbytes
        if key not in self.held:
            self.lent_nbytes += features.nbytes
            self.shrink(self.max_bytes)

    def give_back(self, key: Hashable) -> None:
        """Nobody needs it any more."""
        features = self.lent.pop(key)
        self.borrowed_nbytes -= features.nbytes
        if key not in self.held:
            self.lent_nbytes -= features.nbytes

    def forget(self, key: Hashable) -> None:
        """Hold it no more, if it is held; who has borrowed it keeps it."""
        features = self.held.pop(key, None)
        if features is None:
            return
        self.nbytes -= features.nbytes
        self.forgotten_nbytes += features.nbytes
        if key in self.lent:
            self.lent_nbytes += features.nbytes
        self._forgotten(key)

    def shrink(self, nbytes: float) -> None:
        """Forget the longest unused of what nobody has borrowed until at most `nbytes` are held."""
        excess = max(self.nbytes - nbytes, self.nbytes + self.lent_nbytes + self._displaced - self.most_bytes)
        leaving: list[Hashable] = []
        for key, features in self.held.items():
            if excess <= 0:
                break
            if key not in self.lent:
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
