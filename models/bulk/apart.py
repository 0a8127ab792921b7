"""Decoding in a process that may die: for images of a shard that has ended its worker."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from clpips.models.images.decoding import load_image
from clpips.models.images.errors import DecoderError
from clpips.models.images.pixels import Pixels


class ApartDecoder:
    """Decodes one image at a time in a process of its own; where that dies, the image is refused and another begins."""

    def __init__(self, decode: Callable[[bytes, int | None, int], Pixels] = load_image) -> None:
        """`decode` is what runs in the process."""
        self._decode = decode
        self._pool: ProcessPoolExecutor | None = None

    def load(self, content: bytes, resolution: int | None, max_pixels: int) -> Pixels:
        """As `load_image`. Raises an `ImageError`: `DecoderError` for a file that the decoder does not survive."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        try:
            return self._pool.submit(self._decode, content, resolution, max_pixels).result()
        except BrokenProcessPool as error:
            self.close()
            raise DecoderError("the decoder did not survive the file; save the image anew") from error

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
