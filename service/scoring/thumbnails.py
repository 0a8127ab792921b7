"""Thumbnails of images that have been scored: decoded anew, shrunk, and written as WebP, whatever came.

Most are made as the images are decoded to be scored (`pipeline.py`); these are the ones that were not.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from clpips.models.images.errors import ImageError
from clpips.models.images.thumbnails import webp
from clpips.service.admission.door import Ticket
from clpips.service.decoding.processes import AbandonedError, Memory
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.pipeline import THUMBNAIL_SIDE
from clpips.service.wire.schemas import SentImage

log = structlog.get_logger()


class ThumbnailMaker:
    """Makes thumbnails where images are decoded: in threads where that costs little, else in processes."""

    def __init__(self, decoder: Decoder, max_pixels: int) -> None:
        self._decoder = decoder
        self._max_pixels = max_pixels

    async def make(self, images: Sequence[SentImage], ticket: Ticket) -> dict[str, bytes]:
        """WebP files by the images' hashes. An image that cannot be decoded has none.

        Nothing is made for a request that is cancelled, or whose deadline has passed.
        """
        loop = asyncio.get_running_loop()
        wanted = True

        def made(image: SentImage, memory: Memory) -> bytes | None:
            def is_wanted() -> bool:
                return wanted and loop.time() < ticket.deadline

            if not is_wanted():
                return None
            try:
                return webp(self._decoder.thumbnail(image.content, THUMBNAIL_SIDE, self._max_pixels, is_wanted, memory))
            except (ImageError, AbandonedError):
                return None
            except (RuntimeError, MemoryError) as error:  # of a decoder: the picture alone is lost
                log.warning("thumbnail not made", reason=str(error))
                return None

        try:
            files = await asyncio.gather(*(self._decoder.apart_or_alone(partial(made, one)) for one in images))
        finally:
            wanted = False
        return {image.sha256: file for image, file in zip(images, files, strict=True) if file is not None}
