"""Decoder process: decodes one image after the other, until its connection ends or one of its limits ends it."""

import os
import socket
from typing import Final, NoReturn

from clpips.models.images.decoding import EncodedImage, decode_mask
from clpips.models.images.errors import ImageError, TruncatedImageError
from clpips.service.decoding.limits import DecoderLimits, MemoryLimit, allow_seconds, die_with_parent, memory_was_short
from clpips.service.decoding.messages import Job, Outcome, Reply, Task, receive_job, send_reply
from clpips.service.decoding.shared import SharedMemory

LARGE_PIXELS: Final = 2**22  # of an image that has a share of memory; what is larger says what it needs


def run(connection: socket.socket, memory: SharedMemory, limits: DecoderLimits) -> NoReturn:
    """Work until there is no more to do."""
    die_with_parent()
    own = MemoryLimit()
    try:
        while (job := receive_job(connection)) is not None:
            allow_seconds(limits.seconds)
            reply = _decode(job, memory, limits, own)
            send_reply(connection, reply)
            if reply.last:
                break
    finally:
        os._exit(0)  # nothing of the process that this one is a copy of is to be tidied up here


def _decode(job: Job, memory: SharedMemory, limits: DecoderLimits, own: MemoryLimit) -> Reply:
    """Do a job in the memory that it is allowed. What needs more says so, and is sent again when it may have that.

    A process that has had more than its share, or has run out of it, ends with the job, and its memory with it.
    """
    allowed = job.allowed or limits.shared_nbytes
    own.allow(allowed)
    reply = _try(job, memory, allowed, limits)
    if reply.outcome == Outcome.NO_MEMORY and allowed < limits.nbytes:
        reply = Reply(Outcome.WANTS_MORE, needs=limits.nbytes, last=True)
    return reply._replace(last=reply.last or allowed > limits.shared_nbytes)


def _try(job: Job, memory: SharedMemory, allowed: int, limits: DecoderLimits) -> Reply:
    """Do a job in `allowed` bytes of memory, unless the file's head says that they are too few."""
    try:
        content = memory.read(job.nbytes)
        image = EncodedImage(content, job.max_pixels)
        if job.task == Task.SIZE:
            return Reply(Outcome.DONE, height=image.height, width=image.width, size=image.size)
        pixels = image.width * image.height
        if not job.allowed and pixels > LARGE_PIXELS and (needs := limits.needs(pixels, job.nbytes)) > allowed:
            return Reply(Outcome.WANTS_MORE, needs=needs)
        small = None
        if job.task == Task.MASK:
            found = decode_mask(content, job.max_pixels)
        elif job.task == Task.THUMBNAIL:
            found = image.thumbnail(job.resolution or 1)
        else:
            found, _, small = image.load_with_thumbnail(job.resolution, job.longest or None)
        memory.write_array(found)
        if small is not None and found.nbytes + small.nbytes <= memory.capacity:
            memory.write_array(small, behind=found.nbytes)
        else:
            small = None
        height, width = found.shape[:2]
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
