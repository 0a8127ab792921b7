"""Moving average of the service time: the seconds for each unit of cost while the service is busy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

AVERAGED_COST: Final = 64.0  # the average's time constant, in units
SEED_COST: Final = 4.0  # what the warm-up's measurement counts for, in units
HEAVY_COST: Final = 32.0  # of an image, from which on one such image is embedded at a time: 1450² pixels
USUAL_PIXELS: Final = 256**2  # of an image at the default resolution, which costs one unit


def cost_of(pixels: int) -> float:
    """What an image of so many pixels costs, in units: one is an image at the default resolution."""
    return pixels / USUAL_PIXELS


class InWork:
    """An image in work. Its cost is known when its pixels are."""

    cost = 1.0  # in units


class Throughput:
    """Exponential moving average of the time between units that come through, by which admission predicts waits.

    Time counts while at least one image is in work. A pause does not count, nor the time in which a client sends its
    images slowly. An image that fails or is given up adds its time and no cost, so that the average rises in a
    service that gets slower even while every request expires. While little has come through, all of it counts alike.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds_per_unit = 0.0  # 0 until it is seeded or the first image is through
        self.in_work = 0  # images
        self.requests = 0  # that are admitted and score images: the door counts them
        self._clock = clock
        self._since = 0.0  # when the last image came through, or a pause ended
        self._known = 0.0  # cost that has come through

    def seed(self, seconds_per_unit: float) -> None:
        """Begin with what the warm-up measured, so that a fresh service does not admit more than it can do."""
        if not self._known:
            self.seconds_per_unit = seconds_per_unit
            self._known = SEED_COST

    def others(self, images: int) -> bool:
        """Whether others are about to be embedded beside so many images: in work, or in a request that has come.

        The images of a request that sends one at a time are seldom in work together with others, and its body and its
        answer want the cores meanwhile.
        """
        return self.in_work > images or self.requests > 1

    @contextmanager
    def image(self) -> Iterator[InWork]:
        """An image is in work for as long as the context lasts, and has come through if nothing is raised."""
        if not self.in_work:
            self._since = self._clock()
        self.in_work += 1
        work = InWork()
        try:
            yield work
            now, cost = self._clock(), work.cost
            self._known = min(self._known + cost, AVERAGED_COST + cost)
            self.seconds_per_unit += ((now - self._since) / cost - self.seconds_per_unit) * cost / self._known
            self._since = now
        finally:
            self.in_work -= 1
