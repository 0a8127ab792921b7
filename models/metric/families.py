"""Families of channels: what a channel distance compares, as a table. A further family is one more row.

Of two images a and b, for each channel of AlexNet's unit-length feature maps `f`:

    aligned        the mean over positions of (f_a − f_b)²          LPIPS's own: position by position
    mean           (mean f_a − mean f_b)²                            colours, materials, parts, wherever they are
    std            (std f_a − std f_b)², over positions              how they are spread: texture, composition

and for each channel of the last map of a second network, EfficientNet-Lite0, with μ its mean over positions and σ its
standard deviation:

    content_mean   (μ_a/‖μ_a‖ − μ_b/‖μ_b‖)²                          what the picture is of
    content_std    (σ_a/‖σ_a‖ − σ_b/‖σ_b‖)²                          and how that is spread

A generated image is never aligned with its target; the statistics of a map compare what is in both, wherever it is.
The channel distances `z` of a pair are those of all families, one after the other, and so are the weights: float32
`(6016,)`. The statistics are those of neural style transfer (mean and standard deviation of feature maps: Huang and
Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017).

The families of one network stand side by side in `z`, AlexNet's first: a network that was not run leaves its part of
`z` unknown, and what is kept of `z` is the parts of those that were.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from clpips.models.metric.backbone import CHANNELS
from clpips.models.metric.content import CONTENT_CHANNELS


class Family(NamedTuple):
    """One way to compare the channels of a network's taps."""

    name: str
    backbone: str  # which network makes the maps
    channels: tuple[int, ...]  # of each tap


class Group(NamedTuple):
    """The channels of one tap of one family, and where they stand in `z`."""

    family: str
    layer: int  # which of the family's taps, from 0
    place: slice


ALEXNET: Final = "alexnet"
CONTENT: Final = "efficientnet-lite0"
FAMILIES: Final = (
    Family("aligned", ALEXNET, CHANNELS),
    Family("mean", ALEXNET, CHANNELS),
    Family("std", ALEXNET, CHANNELS),
    Family("content_mean", CONTENT, (CONTENT_CHANNELS,)),
    Family("content_std", CONTENT, (CONTENT_CHANNELS,)),
)
Families = frozenset[str]
Networks = frozenset[str]
ALL_FAMILIES: Final[Families] = frozenset(family.name for family in FAMILIES)
NETWORKS: Final = tuple(dict.fromkeys(family.backbone for family in FAMILIES))  # in the order of their parts of z
ALL_NETWORKS: Final[Networks] = frozenset(NETWORKS)
FAMILIES_OF: Final[dict[str, Families]] = {
    network: frozenset(family.name for family in FAMILIES if family.backbone == network) for network in NETWORKS
}


def families_of(networks: Iterable[str]) -> Families:
    """All families of some networks.

    >>> sorted(families_of({"efficientnet-lite0"}))
    ['content_mean', 'content_std']
    """
    return frozenset().union(*(FAMILIES_OF[name] for name in networks))


def networks_of(families: Iterable[str]) -> Networks:
    """The networks that some families need.

    >>> sorted(networks_of({"std", "content_mean"}))
    ['alexnet', 'efficientnet-lite0']
    """
    wanted = frozenset(families)
    return frozenset(family.backbone for family in FAMILIES if family.name in wanted)


def _groups() -> Iterator[Group]:
    start = 0
    for family in FAMILIES:
        for layer, channels in enumerate(family.channels):
            yield Group(family.name, layer, slice(start, start + channels))
            start += channels


GROUPS: Final = tuple(_groups())
Z_LENGTH: Final = GROUPS[-1].place.stop  # 6016, the length of z and of the weights
PLACES: Final = {  # of each family in z
    family.name: slice(
        min(group.place.start for group in GROUPS if group.family == family.name),
        max(group.place.stop for group in GROUPS if group.family == family.name),
    )
    for family in FAMILIES
}


def layer_groups(layer: int) -> list[Group]:
    """The groups of one of AlexNet's five layers, 0 to 4: one of each of its families.

    >>> [group.family for group in layer_groups(4)]
    ['aligned', 'mean', 'std']
    """
    return [group for group in GROUPS if group.layer == layer and group.family in FAMILIES_OF[ALEXNET]]


NETWORK_PLACES: Final = {  # of each network's families in z, side by side
    network: slice(
        min(PLACES[name].start for name in FAMILIES_OF[network]),
        max(PLACES[name].stop for name in FAMILIES_OF[network]),
    )
    for network in NETWORKS
}
