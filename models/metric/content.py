"""The content network: EfficientNet-Lite0 without its classifier as a description, and the statistics of its last map.

Architecture: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019), in
Google's variant without squeeze-and-excitation (tensorflow/tpu, `efficientnet/lite`). It is a classifier of what a
picture is of; its last map says that for each of its positions. Every engine and every export is built from what stands
here; the trained weights, batch norm folded in, are in `backbone_file.py`.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

CONTENT_SIDE: Final = 192  # pixels: whatever is scored is resized to this square for the content network
CONTENT_CHANNELS: Final = 1280  # of the last map
PIXEL_MEAN: Final = 127.0  # a pixel 0..255 becomes (pixel − mean) / scale
PIXEL_SCALE: Final = 128.0
SIX: Final = 6.0  # where ReLU6 cuts off
EPSILON: Final = 1e-10  # added to the length of a vector of statistics before the division

# The sha256 of the file of trained weights that ships.
CONTENT_FINGERPRINT: Final = "72c72829607d5c9f03f5044b033d4806c8e6b844ef53e8b04a7d4e9e8d055f25"


class ContentConvolution(NamedTuple):
    """One convolution. It pads as TensorFlow's SAME does (`same_padding`)."""

    key: str  # of its weight and bias in the file
    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    relu6: bool  # whether ReLU6 follows


class Block(NamedTuple):
    """An inverted bottleneck; where `residual`, its input is added to what its last convolution gives."""

    convolutions: tuple[ContentConvolution, ...]
    residual: bool


_STEM_CHANNELS: Final = 32
_STAGES: Final = (  # blocks, kernel, stride of the first, channels, expansion
    (1, 3, 1, 16, 1),
    (2, 3, 2, 24, 6),
    (2, 5, 2, 40, 6),
    (3, 3, 2, 80, 6),
    (3, 5, 1, 112, 6),
    (4, 5, 2, 192, 6),
    (1, 3, 1, 320, 6),
)


def _blocks() -> Iterator[Block]:
    yield Block((ContentConvolution("stem", 3, _STEM_CHANNELS, 3, 2, 1, relu6=True),), residual=False)
    inputs, number = _STEM_CHANNELS, 0
    for count, kernel, first_stride, outputs, expansion in _STAGES:
        for place in range(count):
            stride = first_stride if place == 0 else 1
            inner = inputs * expansion
            key = f"blocks.{number}"
            expand = ContentConvolution(f"{key}.expand", inputs, inner, 1, 1, 1, relu6=True)
            yield Block(
                (
                    *([expand] if expansion > 1 else []),
                    ContentConvolution(f"{key}.depthwise", inner, inner, kernel, stride, inner, relu6=True),
                    ContentConvolution(f"{key}.project", inner, outputs, 1, 1, 1, relu6=False),
                ),
                residual=stride == 1 and inputs == outputs,
            )
            inputs, number = outputs, number + 1
    yield Block((ContentConvolution("head", inputs, CONTENT_CHANNELS, 1, 1, 1, relu6=True),), residual=False)


BLOCKS: Final = tuple(_blocks())  # the stem, sixteen inverted bottlenecks, the head


def content_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the network's tensors, by their keys in the file: weights OIHW, biases `(O,)`.

    >>> content_shapes()["blocks.15.depthwise.weight"]
    (1152, 1, 3, 3)
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for block in BLOCKS:
        for convolution in block.convolutions:
            kernel = (convolution.kernel, convolution.kernel)
            shapes[f"{convolution.key}.weight"] = (
                convolution.outputs,
                convolution.inputs // convolution.groups,
                *kernel,
            )
            shapes[f"{convolution.key}.bias"] = (convolution.outputs,)
    return shapes


def same_padding(side: int, convolution: ContentConvolution) -> tuple[int, int]:
    """Zeros before and behind a side of so many numbers, as TensorFlow's SAME padding has them; the odd one is behind.

    >>> same_padding(256, BLOCKS[0].convolutions[0])
    (0, 1)
    """
    outputs = -(-side // convolution.stride)
    total = max((outputs - 1) * convolution.stride + convolution.kernel - side, 0)
    return total // 2, total - total // 2


def _last_side() -> int:
    side = CONTENT_SIDE
    for block in BLOCKS:
        for convolution in block.convolutions:
            side = -(-side // convolution.stride)
    return side


LAST_GRID: Final = (_last_side(), _last_side())  # positions of the last map, whatever was scored


def content_statistics(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and standard deviation over positions of n images' last maps `(n, 1280, h, w)`, each brought to length 1.

    Returns float32 `(n, 2, 1280)`: the means, then the standard deviations (of the population). A vector of zeros
    stays one.

    >>> content_statistics(np.ones((1, 1280, 8, 8), np.float32))[0, :, 0].round(4).tolist()
    [0.02800000086426735, 0.0]
    """
    values = maps.reshape(*maps.shape[:2], -1)  # (n, 1280, positions)
    means = values.mean(axis=2, dtype=np.float32)  # (n, 1280)
    deviations = np.sqrt(np.square(values - means[..., np.newaxis]).mean(axis=2, dtype=np.float32))  # (n, 1280)
    both = np.stack([means, deviations], axis=1)  # (n, 2, 1280)
    lengths = np.sqrt(np.square(both, dtype=np.float64).sum(axis=2, keepdims=True)) + EPSILON  # (n, 2, 1)
    unit: NDArray[np.float32] = (both / lengths).astype(np.float32)
    return unit
