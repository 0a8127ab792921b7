"""The backbone in sessions of ONNX Runtime: images → features, by direct convolutions or, AlexNet, by Winograd's."""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Image
from clpips.models.engines.onnx_features import OnnxFeatures
from clpips.models.engines.winograd.tiles import FIVE, THREE, places
from clpips.models.metric.backbone import tap_sizes
from clpips.models.metric.backbone_file import SHIPPED_BACKBONE
from clpips.models.metric.nets import ALEX, NETS, Net

# Written by `models/export/onnx_graphs.py`.
EMBED_GRAPHS: Final = {
    net.name: SHIPPED_BACKBONE.with_name("embed.onnx" if net == ALEX else f"embed-{net.name}.onnx")
    for net in NETS.values()
}
WINOGRAD_GRAPH: Final = SHIPPED_BACKBONE.with_name("winograd.onnx")  # written by `models/export/winograd_graph.py`

LARGE_PIXELS: Final = 32 * 256**2  # of an image on a CPU, from which on all cores compute it, whatever else they do
# Winograd's convolutions are for images of so many pixels. Smaller ones have fewer tiles than make its matrices worth
# reading; of larger ones the transformed maps would take more memory than the features themselves.
WINOGRAD_PIXELS: Final = range(160**2, 1024**2 + 1)
# Images that share a run: their matrices, 50 MB, are read from memory once for all of them.
RUN_IMAGES: Final = 4
# Pixels that share a run. Memory for the layers of so many stays with the session; that of a larger image goes back to
# the system after its run, which costs no time that can be measured: 512² and 1024² images by turns held 240 MB more.
RUN_PIXELS: Final = RUN_IMAGES * 256**2


class AlexNet:
    """Sessions of the same number of threads: `direct` for every image, `winograd` for those that gain by it.

    Which of the two runs depends on the image's size alone, and the bits of its features on nothing but its pixels.
    """

    def __init__(self, direct: Any, shrinking_run: Any, winograd: Any | None = None, net: Net = ALEX) -> None:
        """`shrinking_run` are the options of a run after which the session gives its layers' memory back.

        `direct` may be of any backbone, `winograd` is AlexNet's.
        """
        self._net = net
        self._direct = direct
        self._shrinking_run = shrinking_run
        self._winograd = winograd

    def with_winograd(self, winograd: Any) -> "AlexNet":
        """The same, and a session of `winograd.onnx`."""
        return AlexNet(self._direct, self._shrinking_run, winograd)

    def embed(self, images: Sequence[Image]) -> list[OnnxFeatures]:
        """Features of images of one size, uint8 `(h, w, 3)` each."""
        if not images:
            return []
        height, width, _ = images[0].shape
        options = self._shrinking_run if height * width > RUN_PIXELS else None
        if self._winograd is None or height * width not in WINOGRAD_PIXELS:
            return [_run_into_features(self._direct, np.asarray(image), options, self._net) for image in images]
        size = min(max(RUN_PIXELS // (height * width), 1), RUN_IMAGES)
        runs = [np.stack([np.asarray(i) for i in images[at : at + size]]) for at in range(0, len(images), size)]
        return [features for run in runs for features in _run_winograd(self._winograd, run, options)]


def _run_into_features(session: Any, image: NDArray[np.uint8], options: Any | None, net: Net) -> OnnxFeatures:
    """The features of one image, uint8 `(h, w, 3)`, written by the session where they are kept.

    Several at once would be no faster.
    """
    features = OnnxFeatures(image.shape[0], image.shape[1], net=net)
    binding = session.io_binding()
    binding.bind_cpu_input("images", np.ascontiguousarray(image)[np.newaxis])  # (1, h, w, 3)
    for number, tap in enumerate(features.taps):
        binding.bind_output(f"features_{number}", "cpu", 0, np.float32, (1, *tap.shape), tap.ctypes.data)
    session.run_with_iobinding(binding, options)
    return features.finish()


class _Room(threading.local):
    """Memory of each thread for what a run on several images gives, up to 10 MB: fresh pages each time cost more."""

    _numbers: NDArray[np.float32] = np.empty(0, np.float32)

    def parts(self, shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float32]]:
        """Arrays of these shapes, undefined; those that were given before are no longer good."""
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        if len(self._numbers) < ends[-1]:
            self._numbers = np.empty(ends[-1], np.float32)
        parts = np.split(self._numbers[: ends[-1]], ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


_room: Final = _Room()


def _run_winograd(session: Any, images: NDArray[np.uint8], options: Any | None) -> list[OnnxFeatures]:
    """The features of images `(n, h, w, 3)`, computed together.

    The session writes the maps of one image where they are kept, and those of several, which lie together, into a
    thread's own room, from where each image's are taken.
    """
    count, height, width, _ = images.shape
    _, second, third, *_ = tap_sizes(height, width)  # those behind the third are as large
    binding = session.io_binding()
    binding.bind_cpu_input("images", images)
    for tiling, size in ((FIVE, second), (THREE, third)):
        rows = places(tiling, count, *size)
        binding.bind_cpu_input(f"inputs_{tiling.kernel}", rows.inputs)
        binding.bind_cpu_input(f"outputs_{tiling.kernel}", rows.outputs)
    every = [OnnxFeatures(height, width) for _ in range(count)]  # in memory of their own, that goes with each
    planes = [(len(tap), tap[0].size) for tap in every[0].taps]  # (c, h'*w') of each tap
    room = _room.parts([(count, 1, positions) for _, positions in planes] + [(count, *both) for both in planes])
    lengths, maps = room[: len(planes)], room[len(planes) :]
    if count == 1:
        maps = [tap.reshape(1, *both) for tap, both in zip(every[0].taps, planes, strict=True)]
    for kind, outputs in (("maps", maps), ("lengths", lengths)):
        for number, output in enumerate(outputs):
            binding.bind_output(f"{kind}_{number}", "cpu", 0, np.float32, output.shape, output.ctypes.data)
    session.run_with_iobinding(binding, options)
    for place, features in enumerate(every):
        for tap, of_all, length in zip(features.taps, maps, lengths, strict=True):
            np.divide(of_all[place], length[place], out=tap.reshape(of_all[place].shape))
        features.finish()
    return every
