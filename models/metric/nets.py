"""Backbones: AlexNet, VGG16 and SqueezeNet 1.1 as descriptions, and what follows from them: channels, shapes, sizes.

LPIPS (Zhang et al., CVPR 2018) taps each after some of its ReLUs: `lpips.LPIPS(net=...)` of the `lpips` package has
these three. AlexNet's weights ship with the project (`backbone.py`); of the others there is the description alone.
VGG16: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (ICLR 2015).
SqueezeNet: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016). Keys of tensors are
torchvision's.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple

NetName = Literal["alex", "vgg", "squeeze"]
_LARGE: Final = 2**13  # pixels a side, of an image whose edges do not matter


class Conv(NamedTuple):
    """A convolution with the ReLU behind it."""

    key: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int


class Pool(NamedTuple):
    """A max-pool of stride 2; `ceil` lets the last window hang over the edge."""

    kernel: int
    ceil: bool


class Fire(NamedTuple):
    """SqueezeNet's module: a 1×1 convolution, then a 1×1 and a 3×3 one side by side; a ReLU behind each."""

    key: str
    inputs: int
    squeezed: int
    expanded: int  # by each of the two

    @property
    def convolutions(self) -> tuple[Conv, Conv, Conv]:
        """The one that squeezes, and the two whose channels stand one behind the other."""
        return (
            Conv(f"{self.key}.squeeze", self.inputs, self.squeezed, 1, 1, 0),
            Conv(f"{self.key}.expand1x1", self.squeezed, self.expanded, 1, 1, 0),
            Conv(f"{self.key}.expand3x3", self.squeezed, self.expanded, 3, 1, 1),
        )


class Tap(NamedTuple):
    """LPIPS looks at what is here, which has so many channels."""

    channels: int


Step = Conv | Pool | Fire | Tap


@dataclass(frozen=True)
class Net:
    """A backbone as the steps from pixels to its last tap."""

    name: NetName  # as the `lpips` package has it
    title: str
    steps: tuple[Step, ...]

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """Of each tap."""
        return tuple(step.channels for step in self.steps if isinstance(step, Tap))

    @cached_property
    def total_channels(self) -> int:
        """Of all taps."""
        return sum(self.channels)

    @cached_property
    def bytes_per_pixel(self) -> float:
        """Bytes of float32 features that a pixel of a large image comes to; smaller images have a little less.

        >>> round(ALEX.bytes_per_pixel), round(VGG.bytes_per_pixel), round(SQUEEZE.bytes_per_pixel)
        (42, 488, 140)
        """
        sizes = self.tap_sizes(_LARGE, _LARGE)
        values = sum(count * height * width for count, (height, width) in zip(self.channels, sizes, strict=True))
        return 4 * values / _LARGE**2

    @cached_property
    def layers(self) -> tuple[slice, ...]:
        """Each tap's part of a vector of all taps' channels."""
        ends = [sum(self.channels[: number + 1]) for number in range(len(self.channels))]
        return tuple(slice(end - own, end) for end, own in zip(ends, self.channels, strict=True))

    @cached_property
    def convolutions(self) -> tuple[Conv, ...]:
        """All convolutions."""
        found: list[Conv] = []
        for step in self.steps:
            found += [step] if isinstance(step, Conv) else step.convolutions if isinstance(step, Fire) else []
        return tuple(found)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of its tensors, by torchvision's keys: weights OIHW, biases `(O,)`.

        >>> VGG.tensor_shapes()["features.28.weight"]
        (512, 512, 3, 3)
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for one in self.convolutions:
            shapes[f"{one.key}.weight"] = (one.outputs, one.inputs, one.kernel, one.kernel)
            shapes[f"{one.key}.bias"] = (one.outputs,)
        return shapes

    def tap_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of each tap's map for an image of `height` × `width` pixels (both ≥ `MIN_SIDE`).

        >>> VGG.tap_sizes(64, 96)
        [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]
        >>> SQUEEZE.tap_sizes(64, 64)[0], SQUEEZE.tap_sizes(64, 64)[-1]
        ((31, 31), (3, 3))
        """
        return list(zip(self._sides(height), self._sides(width), strict=True))

    def _sides(self, side: int) -> list[int]:
        sides = []
        for step in self.steps:
            if isinstance(step, Conv):
                side = (side + 2 * step.padding - step.kernel) // step.stride + 1
            elif isinstance(step, Pool):
                side = (side - step.kernel + (1 if step.ceil else 0)) // 2 + 1
            elif isinstance(step, Tap):
                sides.append(side)
        return sides


class Convolution(NamedTuple):
    """One of AlexNet's convolutions with the ReLU behind it, and whether a 3×3, stride 2 max-pool stands in front."""

    key: str  # in torchvision's state dict
    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    pooled: bool


CONVOLUTIONS: Final = (
    Convolution("features.0", 3, 64, 11, 4, 2, pooled=False),
    Convolution("features.3", 64, 192, 5, 1, 2, pooled=True),
    Convolution("features.6", 192, 384, 3, 1, 1, pooled=True),
    Convolution("features.8", 384, 256, 3, 1, 1, pooled=False),
    Convolution("features.10", 256, 256, 3, 1, 1, pooled=False),
)


def _alex() -> tuple[Step, ...]:
    steps: list[Step] = []
    for one in CONVOLUTIONS:
        pool = [Pool(3, ceil=False)] if one.pooled else []
        steps += [*pool, Conv(one.key, one.inputs, one.outputs, one.kernel, one.stride, one.padding), Tap(one.outputs)]
    return tuple(steps)


def _vgg() -> tuple[Step, ...]:
    steps: list[Step] = []
    number, inputs = 0, 3  # of the layer in torchvision's `features`
    for count, outputs in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        if steps:
            steps.append(Pool(2, ceil=False))
            number += 1
        for _ in range(count):
            steps.append(Conv(f"features.{number}", inputs, outputs, 3, 1, 1))
            number, inputs = number + 2, outputs
        steps.append(Tap(outputs))
    return tuple(steps)


def _squeeze() -> tuple[Step, ...]:
    def fire(number: int, inputs: int, squeezed: int, expanded: int) -> Fire:
        return Fire(f"features.{number}", inputs, squeezed, expanded)

    pool = Pool(3, ceil=True)
    return (
        *(Conv("features.0", 3, 64, 3, 2, 0), Tap(64)),
        *(pool, fire(3, 64, 16, 64), fire(4, 128, 16, 64), Tap(128)),
        *(pool, fire(6, 128, 32, 128), fire(7, 256, 32, 128), Tap(256)),
        *(pool, fire(9, 256, 48, 192), Tap(384)),
        *(fire(10, 384, 48, 192), Tap(384)),
        *(fire(11, 384, 64, 256), Tap(512)),
        *(fire(12, 512, 64, 256), Tap(512)),
    )


ALEX: Final = Net("alex", "AlexNet", _alex())
VGG: Final = Net("vgg", "VGG16", _vgg())
SQUEEZE: Final = Net("squeeze", "SqueezeNet 1.1", _squeeze())
NETS: Final[dict[str, Net]] = {net.name: net for net in (ALEX, VGG, SQUEEZE)}
