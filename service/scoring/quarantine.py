"""Quarantine (a negative cache): images at which a sound engine failed are not tried again for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

MOST_IMAGES: Final = 4096  # the oldest leave
SECONDS: Final = 600.0  # for which an image is not tried again


class Quarantine:
    """Keys of images that made the engine fail, each for `seconds`, at most `most` of them. For one event loop."""

    def __init__(
        self, most: int = MOST_IMAGES, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._until: OrderedDict[Hashable, float] = OrderedDict()  # the first to end first

    def __len__(self) -> int:
        """Images that are kept out at this moment."""
        self._end()
        return len(self._until)

    def __contains__(self, key: Hashable) -> bool:
        self._end()
        return key in self._until

    def add(self, key: Hashable) -> None:
        """Keep an image out from now on; the oldest leaves where there are too many."""
        self._until.pop(key, None)
        self._until[key] = self._clock() + self._seconds
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def _end(self) -> None:
        now = self._clock()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
