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
`(6016,)` with AlexNet, `(6976,)` or `(9280,)` with VGG16 or SqueezeNet in its place (`ZLayout`). The statistics are
those of neural style transfer (mean and standard deviation of feature maps: Huang and Belongie, "Arbitrary Style
Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017).

The families of one network stand side by side in `z`, AlexNet's first: a network that was not run leaves its part of
`z` unknown, and what is kept of `z` is the parts of those that were.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from clpips.models.metric.content import CONTENT_CHANNELS
from clpips.models.metric.nets import ALEX, NETS, Net


class Family(NamedTuple):
    """One way to compare the channels of a network's taps."""

    name: str
    backbone: str  # which network makes the maps
    channels: tuple[int, ...] = ()  # of each tap; those of the backbone's families are the backbone's own


class Group(NamedTuple):
    """The channels of one tap of one family, and where they stand in `z`."""

    family: str
    layer: int  # which of the family's taps, from 0
    place: slice


ALEXNET: Final = "alexnet"  # the backbone: AlexNet, or what is served in its place (`nets.py`)
CONTENT: Final = "efficientnet-lite0"
FAMILIES: Final = (
    Family("aligned", ALEXNET),
    Family("mean", ALEXNET),
    Family("std", ALEXNET),
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


@dataclass(frozen=True)
class ZLayout:
    """What stands where in `z`, and in weights, with one backbone: the families side by side, its own first."""

    net: Net

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The taps of all families, in the order of `z`."""
        groups: list[Group] = []
        start = 0
        for family in FAMILIES:
            channels = self.net.channels if family.backbone == ALEXNET else family.channels
            for layer, count in enumerate(channels):
                groups.append(Group(family.name, layer, slice(start, start + count)))
                start += count
        return tuple(groups)

    @cached_property
    def length(self) -> int:
        """Of `z`."""
        return int(self.groups[-1].place.stop)

    @cached_property
    def places(self) -> dict[str, slice]:
        """Of each family in `z`."""
        return {family.name: _around(g.place for g in self.groups if g.family == family.name) for family in FAMILIES}

    @cached_property
    def network_places(self) -> dict[str, slice]:
        """Of each network's families in `z`, side by side."""
        return {name: _around(self.places[one] for one in FAMILIES_OF[name]) for name in NETWORKS}

    def layer_groups(self, layer: int) -> list[Group]:
        """The groups of one of the backbone's taps, from 0: one of each of its families.

        >>> [group.family for group in ALEX_LAYOUT.layer_groups(4)]
        ['aligned', 'mean', 'std']
        """
        return [group for group in self.groups if group.layer == layer and group.family in FAMILIES_OF[ALEXNET]]


def _around(places: Iterable[slice]) -> slice:
    every = list(places)
    return slice(min(place.start for place in every), max(place.stop for place in every))


LAYOUTS: Final[dict[str, ZLayout]] = {net.name: ZLayout(net) for net in NETS.values()}
ALEX_LAYOUT: Final = LAYOUTS[ALEX.name]
_BY_LENGTH: Final = {layout.length: layout for layout in LAYOUTS.values()}
_BY_CHANNELS: Final = {layout.net.channels: layout for layout in LAYOUTS.values()}


def layout_of_z(length: int) -> ZLayout:
    """The layout in which `z`, or weights, have so many numbers. Raises `ValueError` where none has.

    >>> layout_of_z(6976).net.title
    'VGG16'
    """
    try:
        return _BY_LENGTH[length]
    except KeyError:
        known = ", ".join(f"{layout.length} ({layout.net.title})" for layout in LAYOUTS.values())
        raise ValueError(f"{length} channels belong to no backbone; expected one of {known}") from None


def layout_of_maps(channels: Iterable[int]) -> ZLayout:
    """The layout of the backbone whose taps have so many channels. Raises `KeyError` where none has."""
    return _BY_CHANNELS[tuple(channels)]


# AlexNet's, which is the backbone unless another is named.
GROUPS: Final = ALEX_LAYOUT.groups
Z_LENGTH: Final = ALEX_LAYOUT.length
PLACES: Final = ALEX_LAYOUT.places
NETWORK_PLACES: Final = ALEX_LAYOUT.network_places
