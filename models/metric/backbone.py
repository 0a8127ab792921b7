"""The backbone: AlexNet's five convolutions as a description, and the shapes that follow from it.

Architecture: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as torchvision
implements it. LPIPS (Zhang et al., CVPR 2018) taps it after each of its five ReLUs. Every engine and every export is
built from what stands here; the trained weights are in `backbone_file.py`.
"""

from typing import Final

from clpips.models.metric.nets import CONVOLUTIONS

CHANNELS: Final = tuple(convolution.outputs for convolution in CONVOLUTIONS)
TOTAL_CHANNELS: Final = sum(CHANNELS)  # 1152
LAYERS: Final = tuple(
    slice(sum(CHANNELS[:layer]), sum(CHANNELS[: layer + 1])) for layer in range(len(CHANNELS))
)  # each tap's part of a (1152,) vector

MIN_SIDE: Final = 31  # pixels: below it the second max-pool has nothing to pool
DEFAULT_RESOLUTION: Final = 256  # pixels a side

# A pixel 0..255 becomes `pixel * GAIN + OFFSET`, channel by channel: scaled to [-1, 1], then shifted and scaled as in
# LPIPS's ScalingLayer, which is what the backbone was trained on.
INPUT_SHIFT: Final = (-0.030, -0.088, -0.188)
INPUT_SCALE: Final = (0.458, 0.448, 0.450)
GAIN: Final = tuple(1 / (127.5 * scale) for scale in INPUT_SCALE)  # (3,), RGB
OFFSET: Final = tuple(-(1 + shift) / scale for shift, scale in zip(INPUT_SHIFT, INPUT_SCALE, strict=True))  # (3,), RGB
EPSILON: Final = 1e-10  # added to a feature vector's norm before the division, as in the lpips package

# The sha256 of the file of trained weights that ships. Distances of different backbones do not compare, so every
# result and every weights file carries its backbone's.
SHIPPED_FINGERPRINT: Final = "112f026bedbd2466eb29d5490e267f2f2415f7ac7d3c8ace6fdd050efd5967ae"


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the ten tensors of the five convolutions, by torchvision's keys: weights OIHW, biases `(O,)`.

    >>> tensor_shapes()["features.0.weight"]
    (64, 3, 11, 11)
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for key, inputs, outputs, kernel, *_ in CONVOLUTIONS:
        shapes[f"{key}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{key}.bias"] = (outputs,)
    return shapes


def tap_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of each tap's feature map for an image of `height` × `width` pixels (both ≥ `MIN_SIDE`).

    >>> tap_sizes(256, 256)
    [(63, 63), (31, 31), (15, 15), (15, 15), (15, 15)]
    """
    return list(zip(_side_lengths(height), _side_lengths(width), strict=True))


def _side_lengths(side: int) -> list[int]:
    lengths = []
    for convolution in CONVOLUTIONS:
        if convolution.pooled:
            side = (side - 3) // 2 + 1
        side = (side + 2 * convolution.padding - convolution.kernel) // convolution.stride + 1
        lengths.append(side)
    return lengths
