"""Families of channels: what a channel distance compares, as a table. A further family is one more row.

For each channel of the backbone's unit-length feature maps `f`, of two images a and b:

    aligned   the mean over positions of (f_a − f_b)²          LPIPS's own: position by position
    mean      (mean f_a − mean f_b)²                            colours, materials, parts, wherever they are
    std       (std f_a − std f_b)², over positions              how they are spread: texture, composition

A generated image is never aligned with its target; the statistics of a map compare what is in both, wherever it is.
The channel distances `z` of a pair are those of all families, one after the other, and so are the weights: float32
`(3456,)` for AlexNet's three. The statistics are those of neural style transfer (mean and standard deviation of feature
maps: Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from clpips.models.metric.backbone import CHANNELS


class Family(NamedTuple):
    """One way to compare the channels of a backbone's taps."""

    name: str
    backbone: str  # which network makes the maps
    channels: tuple[int, ...]  # of each tap


class Group(NamedTuple):
    """The channels of one tap of one family, and where they stand in `z`."""

    family: str
    layer: int  # which of the family's taps, from 0
    place: slice


ALEXNET: Final = "alexnet"
FAMILIES: Final = (
    Family("aligned", ALEXNET, CHANNELS),
    Family("mean", ALEXNET, CHANNELS),
    Family("std", ALEXNET, CHANNELS),
)
Families = frozenset[str]
ALL_FAMILIES: Final[Families] = frozenset(family.name for family in FAMILIES)


def _groups() -> Iterator[Group]:
    start = 0
    for family in FAMILIES:
        for layer, channels in enumerate(family.channels):
            yield Group(family.name, layer, slice(start, start + channels))
            start += channels


GROUPS: Final = tuple(_groups())
Z_LENGTH: Final = GROUPS[-1].place.stop  # 3456, the length of z and of the weights
PLACES: Final = {  # of each family in z
    family.name: slice(
        min(group.place.start for group in GROUPS if group.family == family.name),
        max(group.place.stop for group in GROUPS if group.family == family.name),
    )
    for family in FAMILIES
}
