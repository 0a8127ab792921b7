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

from clpips.models.metric.families import ALL_NETWORKS, NETWORK_PLACES, NETWORKS, Z_LENGTH, Networks

FloatT = TypeVar("FloatT", np.float16, np.float32)

UNIT: Final = 2.0**-15
_LARGEST: Final = float(np.finfo(np.float16).max)  # in units: a distance of almost 2


def pack_z(z: NDArray[np.float32], networks: Networks = ALL_NETWORKS) -> NDArray[np.float16]:
    """Channel distances, float32 `(n, 6016)`, in units of `UNIT` as float16 `(n, known)`: the parts of some networks.

    >>> pack_z(np.full((1, 6016), 1e-6, np.float32), frozenset({"alexnet"})).shape
    (1, 3456)
    """
    z = trim_z(z, networks)
    packed: NDArray[np.float16] = np.minimum(z / np.float32(UNIT), np.float32(_LARGEST)).astype(np.float16)
    return packed


def unpack_z(packed: NDArray[np.float16]) -> NDArray[np.float32]:
    """The reverse of `pack_z`, to within 2⁻¹¹ of each distance: float32 `(n, 6016)` of packed `(n, known)`.

    Channel distances of networks that were not run are 0. Raises `ValueError` for a width that no networks have.

    >>> unpack_z(pack_z(np.full((1, 6016), 0.25, np.float32)))[0, :2]
    array([0.25, 0.25], dtype=float32)
    """
    return fill_z(packed.astype(np.float32) * np.float32(UNIT))


def width_of(networks: Networks) -> int:
    """How many channel distances of a pair are known where these networks were run.

    >>> width_of(frozenset({"alexnet"}))
    3456
    """
    return sum(NETWORK_PLACES[name].stop - NETWORK_PLACES[name].start for name in networks)


_NETWORKS_BY_WIDTH: Final = {
    width_of(frozenset(chosen)): frozenset(chosen)
    for chosen in chain.from_iterable(combinations(NETWORKS, count) for count in range(1, len(NETWORKS) + 1))
}


def known_networks(width: int) -> Networks:
    """The networks that were run where so many channel distances of a pair are kept.

    Raises `ValueError` where no networks have so many.

    >>> sorted(known_networks(6016))
    ['alexnet', 'efficientnet-lite0']
    """
    try:
        return _NETWORKS_BY_WIDTH[width]
    except KeyError:
        widths = ", ".join(str(each) for each in _NETWORKS_BY_WIDTH)
        raise ValueError(f"{width} channel distances belong to no networks; expected one of {widths}") from None


def trim_weights(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights, `(6016,)`, as far as they count: without the networks at the end whose families have no weight.

    >>> trim_weights(np.zeros(6016, np.float32)).shape
    (3456,)
    """
    end = NETWORK_PLACES[NETWORKS[0]].stop
    for name in NETWORKS[1:]:
        if weights[NETWORK_PLACES[name]].any():
            end = NETWORK_PLACES[name].stop
    return weights[:end]


def fill_weights(kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """The reverse of `trim_weights`: `(6016,)`, 0 where nothing is kept.

    Raises `ValueError` for a number of weights that no networks have.
    """
    if len(kept) not in {place.stop for place in NETWORK_PLACES.values()}:
        raise ValueError(f"{len(kept)} weights belong to no networks")
    weights = np.zeros(Z_LENGTH, np.float32)
    weights[: len(kept)] = kept
    return weights


def trim_z(z: NDArray[FloatT], networks: Networks) -> NDArray[FloatT]:
    """The parts of `z`, `(n, 6016)`, that these networks make: `(n, width_of(networks))`."""
    return np.concatenate([z[:, NETWORK_PLACES[name]] for name in NETWORKS if name in networks], axis=1)


def fill_z(known: NDArray[FloatT]) -> NDArray[FloatT]:
    """The reverse of `trim_z`: `(n, 6016)`, 0 in the parts of networks that were not run.

    Raises `ValueError` for a width that no networks have.

    >>> fill_z(np.ones((1, 3456), np.float16))[0, 3455:3457].tolist()
    [1.0, 0.0]
    """
    if known.shape[1] == Z_LENGTH:
        return known
    z = np.zeros((len(known), Z_LENGTH), known.dtype)  # (n, z)
    start = 0
    networks = known_networks(known.shape[1])
    for name in (name for name in NETWORKS if name in networks):
        place = NETWORK_PLACES[name]
        z[:, place] = known[:, start : start + place.stop - place.start]
        start += place.stop - place.start
    return z
