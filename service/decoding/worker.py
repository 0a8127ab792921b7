"""Decoder process: decodes one image after the other, until its connection ends or one of its limits ends it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final, NoReturn

from clpips.models.images.decoding import EncodedImage, decode_mask
from clpips.models.images.errors import ImageError, TruncatedImageError
from clpips.service.decoding.limits import DecoderLimits, allow_seconds, die_with_parent, limit_memory, memory_was_short
from clpips.service.decoding.messages import Job, Outcome, Reply, Task, receive_job, send_reply
from clpips.service.decoding.shared import SharedMemory

LARGE_PIXELS: Final = (
    2**22
)  # one image of more is decoded at a time, whatever the number of processes, which leaves with its memory


def run(connection: socket.socket, memory: SharedMemory, lock: int, limits: DecoderLimits) -> NoReturn:
    """Work until there is no more to do. `lock` is a file that all decoder processes share."""
    die_with_parent()
    limit_memory(limits.nbytes)
    try:
        while (job := receive_job(connection)) is not None:
            allow_seconds(limits.seconds)
            reply = _decode(job, memory, lock, limits.nbytes)
            send_reply(connection, reply)
            if reply.last:
                break
    finally:
        os._exit(0)  # nothing of the process that this one is a copy of is to be tidied up here


def _decode(job: Job, memory: SharedMemory, lock: int, allowed: int) -> Reply:
    try:
        content = memory.read(job.nbytes)
        image = EncodedImage(content, job.max_pixels)
        if job.task == Task.SIZE:
            return Reply(Outcome.DONE, height=image.height, width=image.width, size=image.size)
        large = image.width * image.height > LARGE_PIXELS
        with _alone(lock) if large else nullcontext():
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
        return Reply(Outcome.DONE, height=height, width=width, size=image.size, small=sides, last=large)
    except ImageError as error:
        if isinstance(error, TruncatedImageError) and error.__cause__ is not None and memory_was_short(allowed):
            return Reply(Outcome.NO_MEMORY, last=True)  # C libraries call their want of memory an error of the file
        return Reply(Outcome.REFUSED, type(error), text=str(error))
    except MemoryError:
        return Reply(Outcome.NO_MEMORY, last=True)
    except Exception as error:  # noqa: BLE001  the service decides what it means
        return Reply(Outcome.FAILED, text=f"{type(error).__name__}: {error}", last=True)


@contextmanager
def _alone(lock: int) -> Iterator[None]:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(lock, fcntl.LOCK_UN)
