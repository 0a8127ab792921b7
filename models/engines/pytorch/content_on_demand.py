"""The content network as an engine has it: loaded by whoever asks first, and given as much as its memory takes."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import torch

from clpips.models.engines.contract import Image, Precision
from clpips.models.engines.cores import Cores
from clpips.models.engines.pytorch.content import TorchContent, TorchContentFeatures
from clpips.models.engines.pytorch.layout import Layout
from clpips.models.engines.pytorch.memory import OutOfMemoryError, in_halves, largest_that_fits, nothing_to_lower
from clpips.models.engines.pytorch.pixels import content_pixels
from clpips.models.engines.pytorch.precision import content_dtype
from clpips.models.metric.backbone_file import load_content


class ContentOnDemand:
    """Embeds images of any number on one device; on a CPU, parts of `core_batch` images on each of its cores."""

    def __init__(self, device: str, precision: Precision, cores: Cores | None, core_batch: int) -> None:
        self._device = device
        self._precision = precision
        self._cores = cores
        self._core_batch = core_batch
        self._network: TorchContent | None = None  # until it is asked for
        self._loading = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the network is in memory."""
        return self._network is not None

    def embed(
        self, layout: Layout, rows: Sequence[Image], largest: int, relieve: Callable[[], None]
    ) -> list[TorchContentFeatures]:
        """Features of images of one size, up to `largest` in a run; `relieve` frees memory where it runs out."""
        embed = partial(self._embed, self._opened(largest), layout, relieve)
        return embed(rows) if self._cores is None else self._cores.map(rows, embed, embed)

    def close(self) -> None:
        """Give the network's memory back."""
        self._network = None

    def _opened(self, largest: int) -> TorchContent:
        with self._loading, torch.inference_mode():
            if self._network is None:
                backbone, dtype = load_content(), content_dtype(self._device, self._precision)
                self._network = largest_that_fits(
                    lambda size: TorchContent(backbone, dtype, self._device, size), largest, self._device
                )
            if self._network is None:
                raise OutOfMemoryError("the device's memory does not suffice for the content network")
            return self._network

    @torch.inference_mode()
    def _embed(
        self, network: TorchContent, layout: Layout, relieve: Callable[[], None], rows: Sequence[Image]
    ) -> list[TorchContentFeatures]:
        def run(images: Sequence[Image]) -> list[TorchContentFeatures]:
            return network.embed(content_pixels(self._device, layout, images))

        size = network.largest if self._cores is None else self._core_batch
        features: list[TorchContentFeatures] = []
        for start in range(0, len(rows), size):
            features += in_halves(run, rows[start : start + size], relieve, nothing_to_lower)
        return features
