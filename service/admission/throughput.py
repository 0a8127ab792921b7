"""Moving average of the service time: the seconds for each image while the service is busy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

AVERAGED_IMAGES: Final = 64  # the average's time constant, in images


class Throughput:
    """Exponential moving average of the time between images that come through, by which admission predicts waits.

    Time counts while at least one image is in work. A pause does not count, nor the time in which a client sends its
    images slowly. An image that fails or is given up adds its time and no image, so that the average rises in a
    service that gets slower even while every request expires.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds_per_image = 0.0  # 0 until the first image, so that nobody is refused for want of knowledge
        self.in_work = 0  # images
        self._clock = clock
        self._since = 0.0  # when the last image came through, or a pause ended

    @contextmanager
    def image(self) -> Iterator[None]:
        """An image is in work for as long as the context lasts, and has come through if nothing is raised."""
        if not self.in_work:
            self._since = self._clock()
        self.in_work += 1
        try:
            yield
            now = self._clock()
            self.seconds_per_image += (now - self._since - self.seconds_per_image) / AVERAGED_IMAGES
            self._since = now
        finally:
            self.in_work -= 1
