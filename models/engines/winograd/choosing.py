"""Whether this machine gains by Winograd's convolutions: both are run a few times, and the times compared."""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from clpips.models.engines.contract import Image
from clpips.models.metric.backbone import DEFAULT_RESOLUTION

Embed = Callable[[Sequence[Image]], object]

WORTH: Final = 1.2  # times as fast, at least: Winograd's matrices take 50 MB a session
IMAGES: Final = 2  # a run
ROUNDS: Final = 3


class Choice(NamedTuple):
    """Processor time that an image of the default resolution takes on one core, in milliseconds."""

    direct_ms: float
    winograd_ms: float

    @property
    def winograd(self) -> bool:
        """Whether Winograd's convolutions are fast enough to be worth their memory."""
        return self.direct_ms >= WORTH * self.winograd_ms


def measured(direct: Embed, winograd: Embed, clock: Callable[[], float] = time.thread_time) -> Choice:
    """Time both in turn, in the calling thread, after a run that warms up: the fastest round of each.

    The thread's own processor time counts, so that it does not matter what else the machine does meanwhile; `clock`
    tells it, in seconds.
    """
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (DEFAULT_RESOLUTION, DEFAULT_RESOLUTION, 3), dtype=np.uint8)
    best: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        for name, embed in (("direct", direct), ("winograd", winograd)):
            started = clock()
            embed([image] * (IMAGES if number else 1))
            spent = (clock() - started) * 1e3 / IMAGES
            if number:
                best[name] = min(best.get(name, spent), spent)
    return Choice(best["direct"], best["winograd"])
