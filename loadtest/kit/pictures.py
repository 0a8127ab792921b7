"""Pictures for load: like photographs to a decoder, each file different from every other.

A file is one of a few pictures, made unique by a comment inside it: whoever caches must go by the bytes,
whoever decodes has all the work, and thousands of files are made in a second.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Format = Literal["png", "jpeg", "npy"]


class Pictures:
    """An endless supply of unique image files of `side`² pixels."""

    def __init__(self, side: int, form: Format = "png", *, seed: int = 0, distinct: int = 32) -> None:
        rng = np.random.default_rng(seed)
        self._form = form
        self._seed = seed
        self._files = [_encode(_photograph(rng, side), form) for _ in range(distinct)]
        self._serial = itertools.count()

    def __next__(self) -> bytes:
        serial = next(self._serial)
        return _marked(self._files[serial % len(self._files)], self._form, f"{self._seed}-{serial}".encode())

    def __iter__(self) -> Iterator[bytes]:
        return self

    def pieces(self) -> tuple[memoryview, bytes]:
        """The next file, of the form `npy`, in two pieces: the first is shared with others and not copied."""
        if self._form != "npy":
            raise ValueError("only .npy files come in pieces")
        serial = next(self._serial)
        mark = f"{self._seed}-{serial}".encode()
        return memoryview(self._files[serial % len(self._files)])[: -len(mark)], mark

    def take(self, count: int) -> list[bytes]:
        return list(itertools.islice(self, count))


def _photograph(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """A field with the spectrum of photographs (amplitude falls with frequency), and a sensor's noise."""
    field = np.zeros((side, side, 3))
    for cells in (4, 8, 16, 32, 64, 128):
        coarse = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        planes = [
            Image.fromarray(coarse[..., channel]).resize((side, side), Image.Resampling.BICUBIC) for channel in range(3)
        ]
        field += np.stack([np.asarray(plane) for plane in planes], axis=-1) / cells**0.8
    low, high = field.min(), field.max()
    noisy = (field - low) / (high - low) * 255 + rng.normal(0, 2, field.shape)
    pixels: NDArray[np.uint8] = noisy.clip(0, 255).astype(np.uint8)
    return pixels


def _encode(pixels: NDArray[np.uint8], form: Format) -> bytes:
    file = io.BytesIO()
    if form == "npy":
        np.save(file, pixels)
    else:
        Image.fromarray(pixels).save(file, form, **({"quality": 92} if form == "jpeg" else {}))
    return file.getvalue()


def _marked(content: bytes, form: Format, mark: bytes) -> bytes:
    if form == "png":  # a text chunk before the last chunk, IEND, which has 12 bytes
        chunk = b"tEXtserial\x00" + mark
        return (
            content[:-12]
            + struct.pack(">I", len(chunk) - 4)
            + chunk
            + struct.pack(">I", zlib.crc32(chunk))
            + content[-12:]
        )
    if form == "jpeg":  # a comment after the first marker
        return content[:2] + b"\xff\xfe" + struct.pack(">H", len(mark) + 2) + mark + content[2:]
    return content[: -len(mark)] + mark  # the last pixels
