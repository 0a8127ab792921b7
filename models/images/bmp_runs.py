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
    indices = np.zeros((height, width), np.uint8)
    drawn = np.zeros((height, width), np.bool_)
    usable = min(len(data), 2 * (width + 2) * height + 2**16)  # runs of one pixel take no more: the rest are not runs
    pairs = np.frombuffer(data[: usable // 2 * 2], np.uint8).reshape(-1, 2)  # (n, 2)
    counts, values = pairs[:, 0].tobytes(), pairs[:, 1].tobytes()
    x = y = place = 0

    def draw(colours: NDArray[np.uint8]) -> None:
        """Draw colours from here on, as far as they fit into the row."""
        nonlocal x
        fits = max(min(len(colours), width - x), 0)
        indices[y, x : x + fits] = colours[:fits]
        drawn[y, x : x + fits] = True
        x += len(colours)

    while place < len(pairs) and y < height:
        if counts[place]:
            escape = counts.find(0, place)
            escape = len(pairs) if escape < 0 else escape
            draw(_runs(pairs[place:escape], four_bits=four_bits))
            place = escape
            continue
        value = values[place]
        place += 1
        if value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return indices, drawn
        elif value == 2:
            if place == len(pairs):
                break
            x, y, place = x + counts[place], y + values[place], place + 1
        else:
            size = (value + 1) // 2 if four_bits else value
            stored = pairs[place : place + (size + 1) // 2].ravel()[:size]
            if len(stored) < size:
                break
            draw(np.stack([stored >> 4, stored & 15], axis=-1).ravel()[:value] if four_bits else stored)
            place += (size + 1) // 2
    if not drawn.all():
        raise TruncatedImageError(
            "the BMP image is truncated or damaged: its runs end before its last row; send the whole file"
        )
    return indices, drawn


def _runs(pairs: NDArray[np.uint8], *, four_bits: bool) -> NDArray[np.uint8]:
    """The colours of runs: of each pair as many as its first byte says."""
    counts = pairs[:, 0].astype(np.intp)
    values = np.repeat(pairs[:, 1], counts)
    if not four_bits:
        return values
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    odd = (np.arange(len(values)) - begins) % 2 == 1  # the two colours of a byte come in turn
    return np.where(odd, values & 15, values >> 4).astype(np.uint8)
