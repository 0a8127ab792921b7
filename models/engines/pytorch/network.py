"""The backbone on PyTorch: AlexNet from blocks of pixels, any other from pixels, to the maps of its taps."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from clpips.models.metric.backbone import tap_sizes
from clpips.models.metric.backbone_file import Backbone
from clpips.models.metric.nets import ALEX, CONVOLUTIONS, Conv, Pool, Tap

BLOCK: Final = 4  # pixels a side: the first convolution's stride
FLOAT16_MAX: Final = 65504.0


class AlexNetTaps(nn.Module):
    """AlexNet's five convolutions, channels last, in one dtype.

    The first one, 11 × 11 with stride 4 over 3 channels, is computed as 3 × 3 with stride 1 over the 48 numbers of
    4 × 4 pixels (space to depth; the kernel grows a twelfth row and column of zeros). The numbers are the same; 48
    channels fill a GPU's matrix units, which 3 leave idle.
    """

    def __init__(self, backbone: Backbone, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.convolutions = nn.ModuleList()
        for key, inputs, outputs, kernel, stride, padding, _ in CONVOLUTIONS:
            weight, bias = (torch.from_numpy(backbone.tensors[f"{key}.{part}"]) for part in ("weight", "bias"))
            if stride == BLOCK:
                weight = _blocked(weight)  # (64, 48, 3, 3)
                inputs, kernel, padding = weight.shape[1], weight.shape[2], 0
            convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            convolution.to(dtype).weight.data = weight.to(dtype).contiguous(memory_format=torch.channels_last)
            self.convolutions.append(convolution)
        self.requires_grad_(requires_grad=False).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """n images as blocks (see `Kernels.blocks`) → the five ReLU maps `(n, c, h', w')`, channels last in memory."""
        maps = []
        for convolution, description in zip(self.convolutions, CONVOLUTIONS, strict=True):
            if description.pooled:
                x = functional.max_pool2d(x, kernel_size=3, stride=2)  # (n, c, h, w)
            x = convolution(x)  # (n, c', h', w')
            # Bounds from the weights keep the first three maps below float16's end; no picture brings the others
            # near it, and one that did would saturate instead of turning into NaN.
            x = x.clamp_(0, FLOAT16_MAX) if self.dtype == torch.float16 else x.relu_()
            maps.append(x)
        return maps


class NetTaps(nn.Module):
    """Any backbone by its description, channels last, in one dtype: no step is computed in another way than it says."""

    def __init__(self, backbone: Backbone, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self._steps = backbone.net.steps
        self._places = {one.key: number for number, one in enumerate(backbone.net.convolutions)}
        self.convolutions = nn.ModuleList()
        for key, inputs, outputs, kernel, stride, padding in backbone.net.convolutions:
            convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding)
            parts = {part: torch.from_numpy(backbone.tensors[f"{key}.{part}"]) for part in ("weight", "bias")}
            convolution.load_state_dict(parts)
            weight = convolution.to(dtype).weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
            self.convolutions.append(convolution)
        self.requires_grad_(requires_grad=False).eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """n images as planes (see `Kernels.blocks`), `(n, 3, h, w)` → the taps' maps `(n, c, h', w')`."""
        maps = []
        for step in self._steps:
            if isinstance(step, Tap):
                maps.append(x)
            elif isinstance(step, Pool):
                x = functional.max_pool2d(x, step.kernel, 2, ceil_mode=step.ceil)
            elif isinstance(step, Conv):
                x = self._convolved(x, step)
            else:
                squeeze, *expand = step.convolutions
                squeezed = self._convolved(x, squeeze)
                x = torch.cat([self._convolved(squeezed, one) for one in expand], 1)
        return maps

    def _convolved(self, x: Tensor, one: Conv) -> Tensor:
        x = self.convolutions[self._places[one.key]](x)
        return x.clamp_(0, FLOAT16_MAX) if self.dtype == torch.float16 else x.relu_()


def taps_of(backbone: Backbone, dtype: torch.dtype) -> nn.Module:
    """The network of a backbone."""
    return AlexNetTaps(backbone, dtype) if backbone.net == ALEX else NetTaps(backbone, dtype)


def block_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of 4 × 4 blocks that the first convolution reads of an image: two more than it writes.

    >>> block_grid(256, 256)
    (65, 65)
    """
    rows, columns = tap_sizes(height, width)[0]
    return rows + 2, columns + 2


def _blocked(weight: Tensor) -> Tensor:
    """OIHW `(64, 3, 11, 11)` → `(64, 48, 3, 3)`: input 12y + 3x + c of a block is channel c of its pixel (y, x)."""
    outputs, inputs, side, _ = weight.shape
    blocks = -(-side // BLOCK)
    padded = functional.pad(weight, (0, blocks * BLOCK - side) * 2)  # (64, 3, 12, 12)
    padded = padded.reshape(outputs, inputs, blocks, BLOCK, blocks, BLOCK)  # (64, 3, 3, 4, 3, 4)
    return padded.permute(0, 3, 5, 1, 2, 4).reshape(outputs, BLOCK * BLOCK * inputs, blocks, blocks)
