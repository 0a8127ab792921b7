"""Half-precision storage of channel distances: what databases, memory and ranking files keep of a pair of images.

Channel distances lie between 0 and 1, and those of means and standard deviations are often below 1e-6, where float16
has few digits left or none. They are kept in units of 2⁻¹⁵: a power of two costs no digits, 1 stays below float16's
end, and everything above 2e-9 keeps 11 bits.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

UNIT: Final = 2.0**-15
_LARGEST: Final = float(np.finfo(np.float16).max)  # in units: a distance of almost 2


def pack_z(z: NDArray[np.float32]) -> NDArray[np.float16]:
    """Channel distances, float32 of any shape, in units of `UNIT` as float16 of the same shape.

    >>> float(pack_z(np.float32([1e-6]))[0])
    0.0327...
    """
    packed: NDArray[np.float16] = np.minimum(z / np.float32(UNIT), np.float32(_LARGEST)).astype(np.float16)
    return packed


def unpack_z(packed: NDArray[np.float16]) -> NDArray[np.float32]:
    """The reverse of `pack_z`, to within 2⁻¹¹ of each distance.

    >>> float(unpack_z(pack_z(np.float32([0.25])))[0])
    0.25
    """
    return packed.astype(np.float32) * np.float32(UNIT)
