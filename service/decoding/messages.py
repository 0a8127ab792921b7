"""Messages between the service and its decoder processes: fixed fields on a socket, bytes in shared memory.

Nothing of a decoder's is unpickled: whoever takes over a decoder through a file has no way into the service.
"""

import socket
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from clpips.models.images import errors
from clpips.models.images.errors import ImageError

_JOB: Final = struct.Struct("<BQIQIQ")
_REPLY: Final = struct.Struct("<BBQIIIIIIH")
LONGEST_MESSAGE: Final = 2**16 - 1  # bytes of an error's text
ERRORS: Final[tuple[type[ImageError], ...]] = (
    ImageError,
    errors.EmptyImageError,
    errors.UnknownFormatError,
    errors.TruncatedImageError,
    errors.TooManyPixelsError,
    errors.TooSmallError,
    errors.TooCostlyError,
    errors.PixelTypeError,
    errors.DecoderError,
)


class Outcome(IntEnum):
    """How a job ended."""

    DONE = 0  # pixels are in the shared memory, if they were asked for
    REFUSED = 1  # with an error of `ERRORS`
    NO_MEMORY = 2
    FAILED = 3  # with an exception that is none of an image
    WANTS_MORE = 4  # of memory than it was allowed; how much, `needs` says


_OUTCOMES: Final = frozenset(map(int, Outcome))


class Task(IntEnum):
    """What is asked of a file."""

    PIXELS = 0  # of an image, at the scoring resolution
    SIZE = 1  # width and height of an image, from its head
    MASK = 2  # the values of a mask
    THUMBNAIL = 3  # the pixels of an image, in its proportions; `resolution` is the longest side at most


class Job(NamedTuple):
    """An image to decode, or a mask; its file is in the shared memory."""

    nbytes: int
    resolution: int | None
    max_pixels: int
    task: Task = Task.PIXELS
    longest: int = 0  # side of a thumbnail that is to lie behind the pixels; 0 where there is to be none
    allowed: int = 0  # bytes of memory that it may take; 0 for the share that everybody has


class Reply(NamedTuple):
    """What came of a job."""

    outcome: Outcome
    error: type[ImageError] = ImageError  # where it is refused
    height: int = 0
    width: int = 0
    size: tuple[int, int] = (0, 0)  # of the picture in the file, upright: height and width
    small: tuple[int, int] = (0, 0)  # of a thumbnail that lies behind the pixels, if there is one
    text: str = ""
    last: bool = False  # the process ends after this job
    needs: int = 0  # bytes of memory, where they are more than it was allowed


def send_job(connection: socket.socket, job: Job) -> None:
    """Raises `OSError` where the process has ended."""
    connection.sendall(_JOB.pack(job.task, job.nbytes, job.resolution or 0, job.max_pixels, job.longest, job.allowed))


def receive_job(connection: socket.socket) -> Job | None:
    """The next job; None where there will be no more."""
    head = receive(connection, _JOB.size)
    if head is None:
        return None
    task, nbytes, resolution, max_pixels, longest, allowed = _JOB.unpack(head)
    return Job(nbytes, resolution or None, max_pixels, Task(task), longest, allowed)


def send_reply(connection: socket.socket, reply: Reply) -> None:
    """Raises `OSError` where the service has gone."""
    text = reply.text.encode("utf-8", "replace")[:LONGEST_MESSAGE]
    kind = ERRORS.index(reply.error) if reply.error in ERRORS else 0
    sides = (reply.height, reply.width, *reply.size, *reply.small)
    head = _REPLY.pack(reply.outcome | reply.last << 7, kind, reply.needs, *sides, len(text))
    connection.sendall(head + text)


def receive_reply(connection: socket.socket) -> Reply | None:
    """The reply; None where the process has ended before it gave one. Raises `TimeoutError` as the socket is set."""
    head = receive(connection, _REPLY.size)
    if head is None:
        return None
    outcome, kind, needs, height, width, *sizes, length = _REPLY.unpack(head)
    text = receive(connection, length)
    if text is None or kind >= len(ERRORS) or outcome & 0x7F not in _OUTCOMES:
        return None
    return Reply(
        Outcome(outcome & 0x7F),
        ERRORS[kind],
        height,
        width,
        (sizes[0], sizes[1]),
        (sizes[2], sizes[3]),
        text.decode("utf-8", "replace"),
        outcome > 0x7F,
        needs,
    )


def receive(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes; None where the connection ends before them."""
    received = b""
    while len(received) < size:
        try:
            part = connection.recv(size - len(received))
        except ConnectionError:
            return None
        if not part:
            return None
        received += part
    return received
