"""The interface of engines (protocols): images → features, and pairs of features → channel distances.

An engine runs the networks of `metric/families.py`, each by itself: features are one network's, and who needs two
networks of an image asks for both (`several.py`). AlexNet is there from the start, another network from its first use.

An engine is used from as many threads at a time as its `parallel` says; the features it returns may be handed between
threads. `opening.py` chooses one; `onnx.py` and `pytorch/` implement it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import ALEXNET, FAMILIES_OF, Families, Networks
from clpips.models.metric.masks import Region
from clpips.models.metric.nets import Net

EngineName = Literal["auto", "onnx", "torch"]
DeviceName = str  # "auto", "cpu", "cuda", or a card by its number: "cuda:1"
Precision = Literal["exact", "fast"]
Convolution = Literal["direct", "winograd"]
ConvolutionName = Literal["auto", "direct", "winograd"]

GPU_BATCH: Final = 64  # images
DEFAULT_FEATURE_BYTES: Final = 448 * 2**20  # main memory for features that are kept, where nobody says how much


class EngineError(RuntimeError):
    """The engine cannot be opened or has failed; the message says what to install or to change."""


class DevicePixels(Protocol):
    """uint8 RGB `(h, w, 3)` that lie on the engine's device. Opaque: they go into `embed` of the engine."""

    @property
    def shape(self) -> Sequence[int]: ...


Image = NDArray[np.uint8] | DevicePixels  # (h, w, 3)
Images = Sequence[Image] | NDArray[np.uint8]  # n of one size, (h, w, 3) each


class Features(Protocol):
    """What a network says of one image. Opaque: it goes back into `compare` of the engine that made it."""

    @property
    def network(self) -> str:
        """The network that made them."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of memory that keeping these features costs."""
        ...


class Engine(Protocol):
    """The frozen networks on a device."""

    name: str  # "onnx" or "torch"
    device: str  # "cpu", "cuda" or "cuda:1"
    precision: Precision
    convolution: Convolution  # how convolutions of stride 1 are computed: distances differ by their rounding alone
    net: Net  # the backbone: AlexNet, or what is run in its place
    fingerprint: str  # its sha256
    parallel: int
    """Calls of `embed` that may run at the same time, in threads of their own, beside one of `compare`: one a core on a
    CPU. Where it is 1, as on a GPU, all calls come from one thread."""

    @property
    def loaded(self) -> Networks:
        """The networks that are in memory."""
        ...

    batch: int  # images a call of `embed`: with more it is no faster
    seconds_per_image: float
    """The pace of a busy engine for images of the size that it was prepared for, as `prepare` measured it; 0 before."""
    on_memory_pressure: Callable[[], None]
    """A callback, set by whoever keeps features. The engine calls it in its own thread when the device's memory has run
    out, before it tries again with less: the callback drops some features, and returns when they are dropped."""

    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        """Warm up AlexNet: pay now for what is paid once, for up to `largest` images of `side` × `side` pixels at once.

        Returns the bytes of features that may be kept at a time: `feature_bytes`, or less where the device has less;
        where None is asked for, the engine's own choice. Images of other sizes are welcome afterwards.
        """
        ...

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> Sequence[Features]:
        """Features of each of n images of one size, uint8 RGB with both sides ≥ 31: `(n, h, w, 3)`, or n `(h, w, 3)`.

        `network` makes them. The content network sees every image resized to `CONTENT_SIDE`, as `images/resize.py`
        does it; it is loaded when it is asked for the first time.

        `more` says that others are about to be embedded beside these: a single image then leaves them their cores.

        Images may lie on the device already, where a `JpegDecoder` for this engine has decoded them. On a GPU the call
        returns before the features are computed; `compare` waits for them.
        """
        ...

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        """Channel distances of n pairs of one network's features of equally large images: float32 `(n, z)`, ≥ 0.

        `families` are some of that network's, None is all of them. All others are not computed, and are 0. Raises
        `ValueError` for families of another network, and for features of several networks.
        """
        ...

    def compare_all(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        """Every target with every candidate: float32 `(t, c, z)`, the bits of `compare` of each pair.

        It is faster than `compare` where some eight images a side are given.
        """
        ...

    def adopt(self, features: Sequence[Any]) -> Sequence[Any]:
        """Features that another engine of the same kind and precision has made, as this one compares them.

        Those that lie on another device are copied to this one's, others are handed back as they are: the numbers are
        the same. Called from the thread of `compare`. Raises `MemoryError` where the device has no room for a copy.
        """
        ...

    def compare_within(
        self, target: Any, candidate: Any, mask: Region, families: Families | None = None
    ) -> NDArray[np.float32]:
        """Channel distances of one pair of one network's features within a mask: float32 `(z,)`, ≥ 0."""
        ...

    def locate(
        self, target: Any, candidate: Any, weights: NDArray[np.float32], mask: Region | None = None
    ) -> list[NDArray[np.float32]]:
        """Where a pair of AlexNet's features of equally large images differs: a map a layer, float32 `(h, w)`, ≥ 0.

        Within a mask, if there is one: the sum of the maps' means is the aligned part of the distance there. `weights`
        are those of the family `aligned`, float32 `(c,)`. As `metric/spatial.py` has it; called from the thread of
        `compare`.
        """
        ...

    def close(self) -> None:
        """Give the device's memory back. The engine cannot be used afterwards."""
        ...


@runtime_checkable
class PortableEngine(Protocol):
    """What an engine offers beside `Engine` to those who keep features outside of it: on a disk, or as statistics."""

    comparing: int
    """Calls of `compare` that may run at the same time, in threads of their own: one a core where it is computed on the
    host without a state, else 1."""

    def statistics(self, features: Sequence[Any]) -> NDArray[np.float32]:
        """What the families that know no place compare, of n images' features of one network: float32 `(n, 2, c)`."""
        ...

    def store(self, features: Any) -> list[NDArray[Any]]:
        """One image's features as arrays of plain numbers: what `compare` needs of them, and nothing else."""
        ...

    def restore(self, arrays: Sequence[NDArray[Any]], network: str, size: tuple[int, int]) -> Features:
        """The features that `store` made these arrays of, to the bit. `size` is the scored image's height and width.

        Raises `ValueError` for arrays of other features. The arrays may become part of them.
        """
        ...


def families_asked(
    targets: Sequence[Features], candidates: Sequence[Features], families: Families | None
) -> tuple[str, Families]:
    """The network that made these features, and which of its families are asked for (`Engine.compare`).

    Raises `ValueError` for features of several networks, and for families of another.
    """
    made_by = {one.network for side in (targets, candidates) for one in side} or {ALEXNET}
    if len(made_by) > 1:
        raise ValueError(f"a comparison takes features of one network, these are of {', '.join(sorted(made_by))}")
    (network,) = made_by
    known = FAMILIES_OF[network]
    if families is None:
        return network, known
    if unknown := families - known:
        raise ValueError(f"features of {network} say nothing of the families {', '.join(sorted(unknown))}")
    return network, families


def pair_by_pair(
    compare: Callable[[Sequence[Any], Sequence[Any], Families | None], NDArray[np.float32]],
    targets: Sequence[Any],
    candidates: Sequence[Any],
    families: Families | None,
) -> NDArray[np.float32]:
    """`Engine.compare_all` by `Engine.compare`."""
    pairs = [(target, candidate) for target in targets for candidate in candidates]
    z = compare([target for target, _ in pairs], [candidate for _, candidate in pairs], families)  # (t * c, z)
    return z.reshape(len(targets), len(candidates), -1)


class JpegDecoder(Protocol):
    """Decodes JPEGs on an engine's device, a batch at a time; used from one thread, beside the engine's own."""

    def decode(self, files: Sequence[bytes], resolution: int | None, max_pixels: int) -> Sequence[DevicePixels | None]:
        """The pixels of each file at the scoring resolution (None: as stored), ready for the engine's `embed`.

        None for every file that is better left to `load_image`: it is no plain JPEG, it cannot be scored, it has more
        than `max_pixels`, it is damaged, or the device has no room for it now. Raises nothing for what is in a file.
        """
        ...


def nothing_to_free() -> None:
    """`on_memory_pressure` while nobody has said that they keep features."""
