"""Samples of fewer than 8 bits, or of 12, packed into bytes from the highest bit down."""

import numpy as np
from numpy.typing import NDArray


def unpack_small(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Samples of 1, 2 or 4 bits, `(rows, samples)`, from rows of bytes `(rows, bytes)`.

    >>> unpack_small(np.array([[0b11_00_01_10]], np.uint8), 2).tolist()
    [[3, 0, 1, 2]]
    """
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    samples = packed[..., None] >> shifts & np.uint8(2**bits - 1)  # (rows, bytes, samples of a byte)
    return samples.reshape(len(packed), -1)


def unpack_12(packed: NDArray[np.uint8], count: int) -> NDArray[np.uint16]:
    """Samples of 12 bits, `(rows, count)`, from rows of bytes: two in each three bytes.

    >>> unpack_12(np.array([[0xAB, 0xC1, 0x23]], np.uint8), 2).tolist() == [[0xABC, 0x123]]
    True
    """
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 3))).reshape(len(packed), -1, 3).astype(np.uint16)
    first = padded[..., 0] << 4 | padded[..., 1] >> 4
    second = (padded[..., 1] & 15) << 8 | padded[..., 2]
    return np.stack([first, second], axis=-1).reshape(len(packed), -1)[:, :count]
