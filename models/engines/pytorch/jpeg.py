"""JPEG decoding on the engine's device: torchvision decodes (nvJPEG on CUDA), PyTorch resizes, the pixels stay there.

Only plain files are tried (`models/images/jpeg.py`), and whatever fails here is left to the host: it decodes the same
file, or says what is wrong with it. The resize is Pillow's, in two passes with 8-bit pixels between them.
"""

import io
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from clpips.models.engines.contract import EngineError
from clpips.models.engines.pytorch.cards import current, on_its_device
from clpips.models.engines.pytorch.memory import is_out_of_memory, release_cached_memory
from clpips.models.engines.pytorch.messages import first_line
from clpips.models.images.jpeg import plain_jpeg_size
from clpips.models.images.pixels import MAX_PIXELS
from clpips.models.installing import install_hint
from clpips.models.metric.backbone import MIN_SIDE

logger = logging.getLogger(__name__)

PIXELS_A_RUN = 32 * 512**2  # decoded together; as floats, while they are resized, 100 MB

Decode = Callable[[list[Tensor]], list[Tensor]]  # files as uint8 (bytes,) → uint8 RGB (3, h, w) on the device


class TorchJpegDecoder:
    """Decodes and resizes on `device`, on a stream of its own; for one thread.

    What is handed out is ready: the device has done it. Whoever reads it on another stream than the one that is
    current here calls `record_stream`, as for any tensor.
    """

    def __init__(self, device: str, decode: Decode | None = None, pixels_a_run: int = PIXELS_A_RUN) -> None:
        """`decode` in place of torchvision's. Raises `EngineError` where a first small file cannot be decoded."""
        self.device = device
        self._decode = decode or torchvision_decode(device)
        self._pixels_a_run = pixels_a_run
        self._accelerator: Any = torch.get_device_module(device)
        with current(device):
            self._stream = self._accelerator.Stream()
        try:
            with torch.inference_mode(), current(device):
                self._run([_small_file()], MIN_SIDE)
        except Exception as error:
            raise EngineError(
                f"torchvision decodes no JPEG on {device} ({first_line(error)}): install the torchvision that belongs "
                "to this PyTorch, or decode on the host"
            ) from error

    @on_its_device
    @torch.inference_mode()
    def decode(
        self, files: Sequence[bytes], resolution: int | None, max_pixels: int = MAX_PIXELS
    ) -> list[Tensor | None]:
        """As the protocol says: n uint8 tensors `(h, w, 3)` on the device, or None for the host to do."""
        found: list[Tensor | None] = [None] * len(files)
        for places in _runs(files, resolution, max_pixels, self._pixels_a_run):
            for place, pixels in zip(places, self._in_halves([files[one] for one in places], resolution), strict=True):
                found[place] = pixels
        return found

    def _in_halves(self, files: Sequence[bytes], resolution: int | None) -> list[Tensor | None]:
        """A file that cannot be decoded is found by halving its batch; a batch that finds no memory is given up."""
        try:
            return self._run(files, resolution)
        except Exception as error:  # noqa: BLE001  the host has the last word on every file
            message, out_of_memory = first_line(error), is_out_of_memory(error)
        # The exception is gone here, and with its frames the batch's tensors.
        if out_of_memory:
            logger.warning("device memory ran out for %d JPEGs, the host decodes them: %s", len(files), message)
            release_cached_memory(self.device)
        elif len(files) > 1:
            half = len(files) // 2
            return self._in_halves(files[:half], resolution) + self._in_halves(files[half:], resolution)
        return [None] * len(files)

    def _run(self, files: Sequence[bytes], resolution: int | None) -> list[Tensor | None]:
        done = self._accelerator.Event()
        with self._accelerator.stream(self._stream):
            try:
                # PyTorch warns of memory that may not be written to, as that of bytes: hence the copy.
                decoded = self._decode([torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in files])
                return _resized(decoded, resolution)
            finally:
                # torchvision writes on a stream of its own, which knows of nothing that still reads on this one.
                done.record(self._stream)
                done.synchronize()


def resize_batch(batch: Tensor, resolution: int) -> Tensor:
    """uint8 `(n, 3, h, w)` → `(n, 3, resolution, resolution)`: bicubic with antialiasing, as Pillow does it.

    Pillow resizes rows, rounds them to 8 bits, then columns. In one pass without that, one pixel in six differs from
    its own, and where colours overshoot by 20 levels. Of some images taller than wide it resizes columns first (since
    13.0): those differ by as much, noise apart by a level or two.
    """
    if batch.shape[2:] == (resolution, resolution):
        return batch
    for size in ((batch.shape[2], resolution), (resolution, resolution)):
        # (n, 3, h, w) → (n, 3, h, resolution) → (n, 3, resolution, resolution)
        batch = functional.interpolate(batch.to(torch.float32), size=size, mode="bicubic", antialias=True)
        batch = batch.add_(0.5).clamp_(0, 255).to(torch.uint8)  # truncates: rounded half up, as Pillow does
    return batch


def _resized(decoded: Sequence[Tensor], resolution: int | None) -> list[Tensor | None]:
    """n images `(3, h, w)` → `(resolution, resolution, 3)` each; those of one size in one go."""
    by_size: dict[torch.Size, list[int]] = defaultdict(list)
    for place, pixels in enumerate(decoded):
        by_size[pixels.shape].append(place)
    found: list[Tensor | None] = [None] * len(decoded)
    for places in by_size.values():
        batch = torch.stack([decoded[place] for place in places])  # (n, 3, h, w)
        if resolution is not None:
            batch = resize_batch(batch, resolution)  # (n, 3, resolution, resolution)
        for place, pixels in zip(places, batch.permute(0, 2, 3, 1).contiguous(), strict=True):
            found[place] = pixels
    return found


def _runs(files: Sequence[bytes], resolution: int | None, max_pixels: int, pixels_a_run: int) -> list[list[int]]:
    """The places of plain files that may be scored, in runs of bounded size."""
    runs: list[list[int]] = []
    room = 0
    for place, file in enumerate(files):
        size = plain_jpeg_size(file)
        sides = (resolution, resolution) if resolution is not None else size
        if size is None or sides is None or size[0] * size[1] > max_pixels or min(sides) < MIN_SIDE:
            continue
        pixels = max(size[0], sides[0]) * max(size[1], sides[1])  # also between the two passes of the resize
        if pixels > room:
            runs.append([])
            room = max(pixels_a_run, pixels)
        runs[-1].append(place)
        room -= pixels
    return runs


def torchvision_decode(device: str) -> Decode:
    """torchvision's decoder on the device. Raises `EngineError` where it cannot be imported."""
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except Exception as error:  # a missing package, or one for another PyTorch, which fails in many ways
        raise EngineError(
            f"torchvision cannot be imported ({first_line(error)}), and decodes JPEGs on the device: "
            f"{install_hint('torch')}, with the torchvision that belongs to this PyTorch; or decode on the host"
        ) from error
    return lambda files: list(decode_jpeg(files, mode=ImageReadMode.RGB, device=device))


def _small_file() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(file, "JPEG")
    return file.getvalue()
