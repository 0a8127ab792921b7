"""The backbone on PyTorch: CUDA, and the CPU as the reference."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backbone import (
    CHANNELS,
    CONVOLUTIONS,
    EPSILON,
    SCALE,
    SHIFT,
    TOTAL_CHANNELS,
    Backbone,
    load_backbone,
)
from models.engines import EngineError, Precision

CHUNK = 8  # images a run on the CPU, where larger ones gain nothing


class AlexNetTaps(nn.Module):
    """AlexNet's five convolutions; forward gives the five channel-normalised taps."""

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.convolutions = nn.ModuleList()
        for key, inputs, outputs, kernel, stride, padding, _ in CONVOLUTIONS:
            convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding)
            convolution.load_state_dict(
                {part: torch.from_numpy(backbone.tensors[f"{key}.{part}"]) for part in ("weight", "bias")}
            )
            self.convolutions.append(convolution.to(dtype))
        self.register_buffer("shift", torch.tensor(SHIFT).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).reshape(1, 3, 1, 1))
        self.requires_grad_(requires_grad=False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """uint8 RGB `(n, h, w, 3)` → five `(n, c, h', w')` of unit length along c, in the network's own dtype."""
        x = images.permute(0, 3, 1, 2)  # (n, 3, h, w), channels last in memory
        x = (x.to(torch.float32) / 127.5 - 1 - self.shift) / self.scale
        x = x.to(self.dtype)
        taps = []
        for convolution, description in zip(self.convolutions, CONVOLUTIONS, strict=True):
            if description.pooled:
                x = torch.nn.functional.max_pool2d(x, kernel_size=3, stride=2)
            x = torch.nn.functional.relu(convolution(x))
            norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
            taps.append((x / (norm + EPSILON)).to(x.dtype))
        return taps


class TorchFeatures:
    """An image's five feature maps, `(c, h, w)` each, on the engine's device."""

    __slots__ = ("nbytes", "taps")

    def __init__(self, taps: Sequence[Tensor]) -> None:
        self.taps = [tap.clone(memory_format=torch.preserve_format) for tap in taps]
        self.nbytes = sum(tap.nbytes for tap in self.taps)


class TorchEngine:
    """`precision="exact"` is float32 without TF32; `"fast"` is bfloat16."""

    name = "torch"

    def __init__(
        self,
        device: str = "cpu",
        precision: Precision = "exact",
        backbone: Backbone | None = None,
        threads: int | None = None,
    ) -> None:
        """Build the network on the device. Raises `EngineError` where PyTorch does not see it."""
        if device == "cuda" and not torch.cuda.is_available():
            raise EngineError("PyTorch sees no CUDA device: check nvidia-smi, and that this PyTorch is a CUDA build")
        if threads is not None:
            torch.set_num_threads(threads)
        backbone = backbone or load_backbone()
        self.device = device
        self.precision = precision
        self.fingerprint = backbone.fingerprint
        self._network = AlexNetTaps(backbone, torch.float32 if precision == "exact" else torch.bfloat16).to(device)
        for convolution in self._network.convolutions:
            for parameter in convolution.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def embed(self, images: NDArray[np.uint8]) -> list[TorchFeatures]:
        features: list[TorchFeatures] = []
        for start in range(0, len(images), CHUNK):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + CHUNK])).to(self.device)
            features += [TorchFeatures(taps) for taps in zip(*self._network(batch), strict=True)]
        return features

    @torch.inference_mode()
    def compare(self, targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> NDArray[np.float32]:
        z = torch.empty((len(targets), TOTAL_CHANNELS), device=self.device)
        for row, target, candidate in zip(z, targets, candidates, strict=True):
            means = []
            for a, b, channels in zip(target.taps, candidate.taps, CHANNELS, strict=True):
                difference = (a.float() - b.float()).reshape(channels, -1)
                means.append(difference.square().mean(dim=1))
            row.copy_(torch.cat(means))
        return np.asarray(z.cpu())

    def close(self) -> None:
        del self._network
        if self.device == "cuda":
            torch.cuda.empty_cache()
