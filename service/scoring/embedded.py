"""What the feature cache holds of an image, and lends."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

from clpips.service.batching.feature_cache import Loan
from clpips.service.scoring.lanes.lane import Lane, Placed


class Embedded(NamedTuple):
    """An embedded image: its features by network, opaque, and the size at which it was scored.

    `pixels` are there where further networks may be asked for.
    """

    features: Mapping[str, Placed]
    size: tuple[int, int]  # height and width in pixels
    original: tuple[int, int]  # those of the picture in its file: of a mask for it
    pixels: Any = None

    @property
    def nbytes(self) -> int:
        pixels = 0 if self.pixels is None else int(self.pixels.nbytes)
        return sum(one.nbytes for one in self.features.values()) + pixels

    @property
    def memory(self) -> Hashable:
        """Where all of it lies that was made at once."""
        return next(iter(self.features.values())).lane.memory

    @property
    def lane_of_pixels(self) -> Lane | None:
        """On whose device the pixels lie; None in main memory."""
        return None if isinstance(self.pixels, np.ndarray) else next(iter(self.features.values())).lane


Borrowed = Loan[Embedded]  # what a request has borrowed of the features
