"""Fake devices: engines whose features lie in memories of their own, which can be lost and come back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET, Families
from clpips.models.metric.masks import Region
from tests.support.services import FakeEngine, FakeFeatures


class DeviceFeatures(NamedTuple):
    """The mean colour of an image, in the memory of one device."""

    colour: NDArray[np.float32]  # (3,)
    network: str
    device: "FakeDevice"
    nbytes: int = 1000


class DeviceLostError(RuntimeError):
    """What a driver says of a card that fell off its bus."""


class FakeDevice(FakeEngine):
    """An engine on a device that reads no other device's memory: it copies, and counts what it copies.

    A device that is `lost` does nothing, and nothing can be copied from it.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.lost = False
        self.refuses_copies = False
        self.copied = 0  # images
        self.calls = 0  # of `embed`

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[Any]:
        self._require()
        self.calls += 1
        return [DeviceFeatures(one.colour, network, self) for one in super().embed(images, more=more, network=network)]

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        self._require(*targets, *candidates)
        return super().compare(targets, candidates, families)

    def adopt(self, features: Sequence[Any]) -> Sequence[Any]:
        self._require()
        if self.refuses_copies or any(one.device.lost for one in features):
            raise DeviceLostError("the copy fails")
        self.copied += sum(one.device is not self for one in features)
        return [one._replace(device=self) for one in features]

    def locate(
        self, target: Any, candidate: Any, weights: NDArray[np.float32], mask: Region | None = None
    ) -> list[NDArray[np.float32]]:
        self._require(target, candidate)
        return super().locate(target, candidate, weights, mask)

    def _require(self, *features: Any) -> None:
        if self.lost:
            raise DeviceLostError(f"{self.device} is lost")
        assert all(one.device is self for one in features), "features of another device's memory"


class HostDevice(FakeEngine):
    """An engine whose features lie in main memory, as a CPU's do."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = False

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        if self.lost:
            raise DeviceLostError("the engine is gone")
        return super().embed(images, more=more, network=network)

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        if self.lost:
            raise DeviceLostError("the engine is gone")
        return super().compare(targets, candidates, families)
