"""Decoders: threads for light files, and processes for all others.

A light file is one whose cost at worst follows from its head, and is little. Any other is decoded in a process that can
be ended. The threads of `apart` do nothing but wait for theirs. One thread waits for files that need more memory than
their share, so that they hold up nobody else.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.decoding import EncodedImage, begins_light, decode_mask, image_size, mask_pixels
from clpips.models.images.formats import NPY
from clpips.models.images.masks import require_mask_file
from clpips.models.images.pixels import DecodedImage, Pixels
from clpips.service.decoding.processes import ALL, SHARE, DecoderProcesses, Memory, WantsMoreError

T = TypeVar("T")

SPARE_PROCESSES: Final = 2  # more than cores, so that two images that take long do not hold up the others


class Decoder:
    """Turns the bytes of images into pixels. `load_light` is for threads of `pool`, `load` for those of `apart`."""

    def __init__(self, threads: int, processes: DecoderProcesses | None = None) -> None:
        """Without `processes` the threads decode everything, and nothing ends them."""
        self.threads = threads
        self.processes = processes
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.waiters = processes.count if processes is not None else threads
        self.apart = ThreadPoolExecutor(self.waiters, thread_name_prefix="decode-apart") if processes else self.pool
        self.large = ThreadPoolExecutor(1, thread_name_prefix="decode-large")

    def start(self) -> None:
        """Start the processes. Raises what `DecoderProcesses.start` raises."""
        if self.processes is not None:
            self.processes.start()

    def may_be_light(self, content: bytes) -> bool:
        """Whether `load_light` is worth trying: told at once, by the first bytes."""
        return self.processes is None or begins_light(content)

    def load_light(
        self, content: bytes, resolution: int | None, max_pixels: int, longest: int | None = None
    ) -> DecodedImage | None:
        """The pixels as `load_image` gives them; None where the file is to be decoded apart. Raises `ImageError`.

        With `longest` a thumbnail comes with them, as `thumbnail` makes it.
        """
        image = EncodedImage(content, max_pixels)
        light = image.light or self.processes is None
        return image.load_with_thumbnail(resolution, longest) if light else None

    def load(
        self,
        content: bytes,
        resolution: int | None,
        max_pixels: int,
        wanted: Callable[[], bool],
        longest: int | None = None,
        memory: Memory = ALL,
    ) -> DecodedImage:
        """The pixels as `load_image` gives them; decoding ends when nobody wants them any more.

        With `longest` a thumbnail comes with them, where there is room for it. `memory` is what a process may take,
        here and in the other methods: the share alone in threads of `apart`, what is needed in that of `large`.
        Raises `ImageError`, or what `DecoderProcesses.decode` raises.
        """
        if self.processes is None:
            return EncodedImage(content, max_pixels).load_with_thumbnail(resolution, longest)
        return self.processes.decode(content, resolution, max_pixels, wanted, longest, memory)

    async def apart_or_alone(self, call: Callable[[Memory], T]) -> T:
        """What `call` gives with the share of memory in a thread of `apart`, else with what is needed in `large`."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.apart, call, SHARE)
        except WantsMoreError as more:
            return await loop.run_in_executor(self.large, call, Memory(needs=more.nbytes))

    def thumbnail(
        self, content: bytes, longest: int, max_pixels: int, wanted: Callable[[], bool], memory: Memory = ALL
    ) -> Pixels:
        """The pixels upright, no side longer than `longest`. Raises what `load` raises."""
        image = EncodedImage(content, max_pixels) if self.may_be_light(content) else None
        if image is not None and (image.light or self.processes is None):
            return image.thumbnail(longest)
        assert self.processes is not None  # noqa: S101 - without processes everything may be light
        return self.processes.thumbnail(content, longest, max_pixels, wanted, memory)

    def mask(
        self, content: bytes, max_pixels: int, wanted: Callable[[], bool], memory: Memory = ALL
    ) -> NDArray[np.uint8]:
        """The values of a mask, uint8 `(h, w)`, as `decode_mask` has them. Raises what `load` raises."""
        if self.processes is None or content.startswith(NPY) or not content:
            return decode_mask(content, max_pixels)  # an array costs nothing to read
        return self.processes.mask(content, max_pixels, wanted, memory)

    def mask_pixels(self, content: bytes, max_pixels: int, wanted: Callable[[], bool], memory: Memory = ALL) -> int:
        """How many pixels a mask has, from its head alone. Raises what `load` raises."""
        require_mask_file(content)
        if self.processes is None or content.startswith(NPY):
            return mask_pixels(content, max_pixels)
        width, height = self.size(content, max_pixels, wanted, memory)
        return width * height

    def size(
        self, content: bytes, max_pixels: int, wanted: Callable[[], bool], memory: Memory = ALL
    ) -> tuple[int, int]:
        """Width and height as `image_size` gives them, read where `load` would decode. Raises what `load` raises."""
        if self.processes is None or begins_light(content):
            return image_size(content, max_pixels)
        return self.processes.size(content, max_pixels, wanted, memory)

    def close(self) -> None:
        """Let the threads' work finish, and end the processes with what they decode; what waits is dropped."""
        if self.processes is not None:
            self.processes.close()
        self.pool.shutdown(cancel_futures=True)
        self.apart.shutdown(cancel_futures=True)
        self.large.shutdown(cancel_futures=True)
