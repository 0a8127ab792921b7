"""Decoder process: decodes one image after the other, until its connection ends or one of its limits ends it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from clpips.models.images.decoding import EncodedImage, decode_mask
from clpips.models.images.errors import ImageError, TruncatedImageError
from clpips.service.decoding.limits import DecoderLimits, MemoryLimit, allow_seconds, die_with_parent, memory_was_short
from clpips.service.decoding.messages import Job, Outcome, Reply, Task, receive_job, send_reply
from clpips.service.decoding.shared import SharedMemory

# Of images of more pixels or bytes one is decoded at a time, in whatever process, which leaves with its memory.
LARGE_PIXELS: Final = 2**22
LARGE_BYTES: Final = 2**24


def run(connection: socket.socket, memory: SharedMemory, lock: int, limits: DecoderLimits) -> NoReturn:
    """Work until there is no more to do. `lock` is a file that all decoder processes share."""
    die_with_parent()
    own = MemoryLimit()
    try:
        while (job := receive_job(connection)) is not None:
            allow_seconds(limits.seconds)
            reply = _decode(job, memory, lock, limits, own)
            send_reply(connection, reply)
            if reply.last:
                break
    finally:
        os._exit(0)  # nothing of the process that this one is a copy of is to be tidied up here


def _decode(job: Job, memory: SharedMemory, lock: int, limits: DecoderLimits, own: MemoryLimit) -> Reply:
    """Do a job in a share of the memory; where that is too little, alone and in all that an image may have.

    However small files are, all processes together take little more than what one image may have.
    """
    if job.nbytes <= LARGE_BYTES:
        own.allow(limits.shared_nbytes)
        reply = _try(job, memory, limits.shared_nbytes, LARGE_PIXELS)
        if reply.outcome != Outcome.NO_MEMORY:
            return reply
    with _alone(lock):
        own.allow(limits.nbytes)
        return _try(job, memory, limits.nbytes)._replace(last=True)


def _try(job: Job, memory: SharedMemory, allowed: int, most_pixels: int | None = None) -> Reply:
    """Do a job in `allowed` bytes of memory, which are taken to be too few for an image of more than `most_pixels`."""
    try:
        content = memory.read(job.nbytes)
        image = EncodedImage(content, job.max_pixels)
        if job.task == Task.SIZE:
            return Reply(Outcome.DONE, height=image.height, width=image.width, size=image.size)
        if most_pixels is not None and image.width * image.height > most_pixels:
            return Reply(Outcome.NO_MEMORY)
        small = None
        if job.task == Task.MASK:
            pixels = decode_mask(content, job.max_pixels)
        elif job.task == Task.THUMBNAIL:
            pixels = image.thumbnail(job.resolution or 1)
        else:
            pixels, _, small = image.load_with_thumbnail(job.resolution, job.longest or None)
        memory.write_array(pixels)
        if small is not None and pixels.nbytes + small.nbytes <= memory.capacity:
            memory.write_array(small, behind=pixels.nbytes)
        else:
            small = None
        height, width = pixels.shape[:2]
        sides = (0, 0) if small is None else (small.shape[0], small.shape[1])
        return Reply(Outcome.DONE, height=height, width=width, size=image.size, small=sides)
    except ImageError as error:
        if isinstance(error, TruncatedImageError) and error.__cause__ is not None and memory_was_short(allowed):
            return Reply(Outcome.NO_MEMORY)  # C libraries call their want of memory an error of the file
        return Reply(Outcome.REFUSED, type(error), text=str(error))
    except MemoryError:
        return Reply(Outcome.NO_MEMORY)
    except Exception as error:  # noqa: BLE001  the service decides what it means
        return Reply(Outcome.FAILED, text=f"{type(error).__name__}: {error}", last=True)


@contextmanager
def _alone(lock: int) -> Iterator[None]:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(lock, fcntl.LOCK_UN)
