"""Features of the ONNX Runtime engine: an image's feature maps in main memory, and their statistics."""

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.distance import statistics
from clpips.models.metric.families import ALEXNET
from clpips.models.metric.nets import ALEX, Net


class OnnxFeatures:
    """An image's feature maps, float32 `(c, h, w)` for each tap, in one buffer of their own, undefined until written.

    `finish` computes their statistics, float32 `(2, c of all)`, once they are.
    """

    __slots__ = ("buffer", "nbytes", "statistics", "taps")
    network = ALEXNET

    def __init__(self, height: int, width: int, buffer: NDArray[np.float32] | None = None, net: Net = ALEX) -> None:
        """Room for the features of an image of this size: new, or a buffer, `(elements,)`, that holds them already.

        Raises `ValueError` for a buffer of another length.
        """
        sizes = net.tap_sizes(height, width)
        shapes = [(channels, *size) for channels, size in zip(net.channels, sizes, strict=True)]
        ends = np.cumsum([np.prod(shape) for shape in shapes])  # (taps,), elements
        if buffer is None:
            buffer = np.empty(ends[-1], np.float32)  # (elements,)
        elif buffer.shape != (ends[-1],):
            raise ValueError(f"features of {height}×{width} pixels are ({ends[-1]},) numbers, these are {buffer.shape}")
        self.taps = [part.reshape(shape) for part, shape in zip(np.split(buffer, ends[:-1]), shapes, strict=True)]
        self.statistics: NDArray[np.float32]
        self.buffer = buffer
        self.nbytes = buffer.nbytes + 2 * net.total_channels * 4

    def finish(self) -> "OnnxFeatures":
        """The same features, their maps written, with statistics."""
        self.statistics = statistics(self.taps)
        return self
