"""How long an image takes when there is always a next one: what tells a full service when to say no."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

MEMORY: Final = 64  # images over which it is averaged


class Pace:
    """Learned from each image that comes through, whatever becomes of its request.

    Time counts while at least one image is in work: a pause says nothing, and neither does a client that sends its
    images slowly. Images that fail or are given up count as time alone, so that a service which gets slower finds out
    even while everything expires.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0  # an image; 0 until the first, so that nobody is refused for want of knowledge
        self._clock = clock
        self.in_work = 0  # images
        self._since = 0.0  # the last image that came through, or the end of a pause

    @contextmanager
    def image(self) -> Iterator[None]:
        """An image is in work for as long as the context lasts, and has come through if nothing is raised."""
        if not self.in_work:
            self._since = self._clock()
        self.in_work += 1
        try:
            yield
            now = self._clock()
            self.seconds += (now - self._since - self.seconds) / MEMORY
            self._since = now
        finally:
            self.in_work -= 1
