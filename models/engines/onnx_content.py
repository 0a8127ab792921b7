"""The content network on ONNX Runtime: images of any size → the unit-length statistics of its last map."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Image, Images
from clpips.models.engines.cores import Cores
from clpips.models.images.resize import resize
from clpips.models.metric.backbone_file import SHIPPED_CONTENT
from clpips.models.metric.content import CONTENT_SIDE, content_statistics
from clpips.models.metric.families import CONTENT

CONTENT_GRAPH: Final = SHIPPED_CONTENT.with_name("content.onnx")  # written by `models/export/content_graph.py`
CUDA_RUN: Final = 16  # images of a batch that CUDA computes at a time
CORE_RUN: Final = 4  # images that a core computes at a time: 4 % faster than one by one


class ContentFeatures:
    """An image's last maps, float32 `(1280, h, w)`, and their statistics `(2, 1280)`, as `content_statistics` has them.

    The maps are there for masks, which have statistics of their own.
    """

    __slots__ = ("maps", "statistics")
    network = CONTENT

    def __init__(self, maps: NDArray[np.float32], statistics: NDArray[np.float32]) -> None:
        self.maps = maps
        self.statistics = statistics

    @property
    def nbytes(self) -> int:
        return self.maps.nbytes + self.statistics.nbytes


class OnnxContent:
    """Sessions of the content network: `session` for an image that has all cores, `core_session` for one on one core.

    `cores` share out images as they do AlexNet's; without them, on CUDA, batches run at once.
    """

    def __init__(self, session: Any, core_session: Any, cores: Cores | None) -> None:
        self._session = session
        self._core_session = core_session
        self._cores = cores

    def embed(self, images: Images, *, more: bool) -> list[ContentFeatures]:
        """Features of images, uint8 `(h, w, 3)` each; `more` as `Engine.embed` has it."""
        if self._cores is None:
            return _run(self._session, list(images), CUDA_RUN)
        by_one, by_all = (partial(_run, session, size=CORE_RUN) for session in (self._core_session, self._session))
        return self._cores.map(list(images), by_one, by_one if more else by_all)


def _run(session: Any, images: Sequence[Image], size: int) -> list[ContentFeatures]:
    features: list[ContentFeatures] = []
    for start in range(0, len(images), size):
        run = images[start : start + size]
        batch = np.stack([resize(np.asarray(image), CONTENT_SIDE) for image in run])  # (n, s, s, 3)
        (maps,) = session.run(None, {"images": batch})  # (n, 1280, h, w)
        of_all = content_statistics(maps)  # (n, 2, 1280)
        features += [ContentFeatures(one.copy(), both.copy()) for one, both in zip(maps, of_all, strict=True)]
    return features
