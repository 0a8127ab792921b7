"""Run lengths of BMP (RLE8 and RLE4): pairs of a count and a colour, and escapes that move on or copy."""

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.errors import TruncatedImageError


def unpack_runs(
    data: memoryview, width: int, height: int, *, four_bits: bool
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Colour numbers `(h, w)` in the order of the file, and which of them it draws: it may skip over others.

    Raises `TruncatedImageError` where the runs end without their end mark before all is drawn.
    """
    indices = np.zeros(width * height, np.uint8)
    drawn = np.zeros(width * height, np.bool_)
    x = y = place = 0
    data = data[: 4 * (width + 1) * height + 2**16]  # twice what runs of one pixel take: the rest are not runs
    while place + 2 <= len(data) and y < height:
        count, value = data[place], data[place + 1]
        place += 2
        if count or value > 2:
            if count:
                length = count
                pair = [value >> 4, value & 15] if four_bits else [value, value]
                colours = np.resize(np.array(pair, np.uint8), count)
            else:
                length = value
                stored = np.frombuffer(data[place : place + ((length + 1) // 2 if four_bits else length)], np.uint8)
                place += len(stored) + len(stored) % 2
                colours = np.stack([stored >> 4, stored & 15], axis=-1).ravel() if four_bits else stored
                if len(colours) < length:
                    break
            fits = min(length, width - x)
            if fits > 0:
                start = y * width + x
                indices[start : start + fits] = colours[:fits]
                drawn[start : start + fits] = True
            x += length
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return indices.reshape(height, width), drawn.reshape(height, width)
        else:
            if place + 2 > len(data):
                break
            x, y = x + data[place], y + data[place + 1]
            place += 2
    if not drawn.all():
        raise TruncatedImageError(
            "the BMP image is truncated or damaged: its runs end before its last row; send the whole file"
        )
    return indices.reshape(height, width), drawn.reshape(height, width)
