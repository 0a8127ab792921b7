"""What a client keeps between requests: the caller's terms, and which images the service is believed to hold."""

import math
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

MOST_NAMES: Final = 100_000  # images remembered, some 150 bytes each
Seen = tuple[str, "int | None"]  # an image's name, and the resolution at which the service saw it


@dataclass(frozen=True)
class Limits:
    """What the service takes in one request: what is more goes in several. These are the service's own defaults."""

    images: int = 256  # CLPIPS_MAX_IMAGES
    body_bytes: int = 120 * 2**20  # CLPIPS_MAX_BODY_BYTES, with room for what is no image
    scored_pixels: int = 256 * 256**2  # CLPIPS_MAX_SCORED_PIXELS


class Held:
    """The images that the service is believed to hold, for any number of threads; the longest unused are forgotten."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._seen: OrderedDict[Seen, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, seen: Seen) -> bool:
        with self._lock:
            return seen in self._seen

    def note(self, images: Iterable[Seen]) -> None:
        """The service has just used these."""
        with self._lock:
            for seen in images:
                self._seen[seen] = None
                self._seen.move_to_end(seen)
            while len(self._seen) > self._most:
                self._seen.popitem(last=False)

    def forget(self, images: Iterable[Seen]) -> None:
        """The service has said that it holds these no longer."""
        with self._lock:
            for seen in images:
                self._seen.pop(seen, None)


@dataclass(frozen=True)
class Core:
    """The terms on which requests are made. `clock` and `jitter` are handed in where a test wants its own."""

    timeout: float = 60.0  # seconds of an operation, all its tries and parts together
    patience: float | None = None  # seconds after which a service that cannot be reached is given up; None: `timeout`
    limits: Limits = field(default_factory=Limits)
    headers: Mapping[str, str] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random  # from 0 to 1

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"the timeout is {self.timeout}, expected seconds above 0, and not without end")

    def within(self, seconds: float) -> "Core":
        """The same with another timeout; what is known of the service is shared."""
        return replace(self, timeout=seconds)

    def budget(self) -> "Budget":
        """The time of an operation that begins now."""
        return Budget(self.clock() + self.timeout, self.clock)

    def until(self, budget: "Budget") -> "Core":
        """The same for an operation that is a part of another, and has what is left of its time."""
        return self.within(max(budget.left(), 1e-3))


@dataclass(frozen=True)
class Budget:
    """When an operation must be done."""

    deadline: float
    clock: Callable[[], float]

    def left(self) -> float:
        """Seconds, below 0 when it has passed."""
        return self.deadline - self.clock()
