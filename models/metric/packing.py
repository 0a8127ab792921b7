"""Half-precision storage of channel distances: what databases, memory and ranking files keep of a pair of images.

Channel distances lie between 0 and 1, and those of means and standard deviations are often below 1e-6, where float16
has few digits left or none. They are kept in units of 2⁻¹⁵: a power of two costs no digits, 1 stays below float16's
end, and everything above 2e-9 keeps 11 bits.

What is kept of `z` are the parts of those networks that were run. How many numbers a row has says which they are.
"""

from itertools import chain, combinations
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import (
    ALEX_LAYOUT,
    ALL_NETWORKS,
    LAYOUTS,
    NETWORKS,
    Networks,
    ZLayout,
    layout_of_z,
)

FloatT = TypeVar("FloatT", np.float16, np.float32)

UNIT: Final = 2.0**-15
NO_SIGN: Final = np.uint16(0x7FFF)
MOVED: Final = 13  # bits: float32's fraction is so much longer than float16's
TOO_SMALL: Final = 2.0**112  # 127 − 15, their exponents' biases
_LARGEST: Final = float(np.finfo(np.float16).max)  # in units: a distance of almost 2


def pack_z(z: NDArray[np.float32], networks: Networks = ALL_NETWORKS) -> NDArray[np.float16]:
    """Channel distances, float32 `(n, z)`, in units of `UNIT` as float16 `(n, known)`: the parts of some networks.

    >>> pack_z(np.full((1, 6016), 1e-6, np.float32), frozenset({"alexnet"})).shape
    (1, 3456)
    """
    z = trim_z(z, networks)
    packed: NDArray[np.float16] = np.minimum(z / np.float32(UNIT), np.float32(_LARGEST)).astype(np.float16)
    return packed


def unpack_z(packed: NDArray[np.float16]) -> NDArray[np.float32]:
    """The reverse of `pack_z`, to within 2⁻¹¹ of each distance: float32 `(n, z)` of packed `(n, known)`.

    Channel distances of networks that were not run are 0. Raises `ValueError` for a width that no networks have.

    >>> unpack_z(pack_z(np.full((1, 6016), 0.25, np.float32)))[0, :2]
    array([0.25, 0.25], dtype=float32)
    """
    # NumPy converts float16 a number at a time. Its bits, moved to where float32 has them, are 2¹¹² times too small.
    bits = (packed.view(np.uint16) & NO_SIGN).astype(np.uint32)  # distances are ≥ 0, but there is −0
    bits <<= MOVED
    z = bits.view(np.float32)
    z *= np.float32(TOO_SMALL * UNIT)
    return fill_z(z)


def width_of(networks: Networks, layout: ZLayout = ALEX_LAYOUT) -> int:
    """How many channel distances of a pair are known where these networks were run.

    >>> width_of(frozenset({"alexnet"}))
    3456
    """
    return sum(_size(layout.network_places[name]) for name in networks)


def _size(place: slice) -> int:
    return int(place.stop - place.start)


_KNOWN_BY_WIDTH: Final = {  # AlexNet's last: what the content network alone says has the same width with any backbone
    width_of(frozenset(chosen), layout): (layout, frozenset(chosen))
    for layout in reversed(LAYOUTS.values())
    for chosen in chain.from_iterable(combinations(NETWORKS, count) for count in range(1, len(NETWORKS) + 1))
}
_LAYOUT_BY_WEIGHTS: Final = {
    place.stop: layout for layout in LAYOUTS.values() for place in layout.network_places.values()
}


def known_networks(width: int) -> Networks:
    """The networks that were run where so many channel distances of a pair are kept.

    Raises `ValueError` where no networks have so many.

    >>> sorted(known_networks(6016))
    ['alexnet', 'efficientnet-lite0']
    """
    return _known(width)[1]


def _known(width: int) -> tuple[ZLayout, Networks]:
    try:
        return _KNOWN_BY_WIDTH[width]
    except KeyError:
        widths = ", ".join(str(each) for each in sorted(_KNOWN_BY_WIDTH))
        raise ValueError(f"{width} channel distances belong to no networks; expected one of {widths}") from None


def limit_packed(packed: NDArray[np.float16], networks: Networks) -> NDArray[np.float16]:
    """What these networks say of packed channel distances, `(n, known)`: `(n, ≤ known)`, of one of them at least.

    >>> limit_packed(np.zeros((1, 6016), np.float16), frozenset({"alexnet"})).shape
    (1, 3456)
    """
    known = known_networks(packed.shape[1])
    return packed if known <= networks else trim_z(fill_z(packed), known & networks)


def trim_weights(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights, `(z,)`, as far as they count: without the networks at the end whose families have no weight.

    >>> trim_weights(np.zeros(6016, np.float32)).shape
    (3456,)
    """
    places = layout_of_z(len(weights)).network_places
    end = places[NETWORKS[0]].stop
    for name in NETWORKS[1:]:
        if weights[places[name]].any():
            end = places[name].stop
    return weights[:end]


def fill_weights(kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """The reverse of `trim_weights`: `(z,)`, 0 where nothing is kept.

    Raises `ValueError` for a number of weights that no networks have.
    """
    if len(kept) not in _LAYOUT_BY_WEIGHTS:
        raise ValueError(f"{len(kept)} weights belong to no networks")
    weights = np.zeros(_LAYOUT_BY_WEIGHTS[len(kept)].length, np.float32)
    weights[: len(kept)] = kept
    return weights


def trim_z(z: NDArray[FloatT], networks: Networks) -> NDArray[FloatT]:
    """The parts of `z`, `(n, z)`, that these networks make: `(n, known)`."""
    places = layout_of_z(z.shape[1]).network_places
    return np.concatenate([z[:, places[name]] for name in NETWORKS if name in networks], axis=1)


def fill_z(known: NDArray[FloatT]) -> NDArray[FloatT]:
    """The reverse of `trim_z`: `(n, z)`, 0 in the parts of networks that were not run.

    Raises `ValueError` for a width that no networks have.

    >>> fill_z(np.ones((1, 3456), np.float16))[0, 3455:3457].tolist()
    [1.0, 0.0]
    """
    layout, networks = _known(known.shape[1])
    if known.shape[1] == layout.length:
        return known
    z = np.zeros((len(known), layout.length), known.dtype)  # (n, z)
    start = 0
    for name in (name for name in NETWORKS if name in networks):
        place = layout.network_places[name]
        z[:, place] = known[:, start : start + _size(place)]
        start += _size(place)
    return z
