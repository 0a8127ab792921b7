"""Memory layout of features: tap after tap in one flat buffer, each `(position, channel)`, channels last."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from torch import Tensor

from clpips.models.metric.nets import ALEX, Net


class Layout(NamedTuple):
    """How the features of an image of one size lie in a flat buffer."""

    height: int  # of the image, pixels
    width: int
    positions: tuple[int, ...]  # of each tap: h' * w'
    starts: tuple[int, ...]  # first element of each tap
    elements: int
    net: Net = ALEX

    def split(self, buffer: Tensor) -> list[Tensor]:
        """The taps of a flat buffer `(elements,)`, each a view `(positions, channels)`."""
        return [
            buffer[start : start + positions * channels].view(positions, channels)
            for start, positions, channels in zip(self.starts, self.positions, self.net.channels, strict=True)
        ]


@cache
def layout_of(height: int, width: int, net: Net = ALEX) -> Layout:
    """The layout of an image of `height` × `width` pixels (both ≥ 31).

    >>> layout_of(64, 64).positions
    (225, 49, 9, 9, 9)
    """
    positions = tuple(h * w for h, w in net.tap_sizes(height, width))
    ends = tuple(accumulate(p * c for p, c in zip(positions, net.channels, strict=True)))
    return Layout(height, width, positions, (0, *ends[:-1]), ends[-1], net)


def places_by_layout(targets: Sequence[Layout], candidates: Sequence[Layout]) -> Collection[list[int]]:
    """The places of pairs whose images are equally large, group by group.

    Raises `ValueError` for a pair of images of different sizes.
    """
    places: defaultdict[Layout, list[int]] = defaultdict(list)
    for place, (target, candidate) in enumerate(zip(targets, candidates, strict=True)):
        if target != candidate:
            sizes = " and ".join(f"{one.height}×{one.width}" for one in (target, candidate))
            raise ValueError(f"pair {place} has features of images of different sizes: {sizes} pixels")
        places[target].append(place)
    return places.values()
