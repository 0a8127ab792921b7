"""Fork server: a process with one thread that has loaded the decoders, and makes decoder processes by forking itself.

A fork takes milliseconds, and its pages are shared until they are written. The service cannot fork itself: it has
threads, whose locks would stay locked in the child. Commands come on a socket: fork one with these descriptors, end
that one.
"""

import ctypes
import gc
import io
import logging
import os
import signal
import socket
import struct
import sys
import warnings
from typing import Final

import numpy as np
from PIL import Image

from clpips.models.images.decoding import load_image
from clpips.service.decoding.limits import DecoderLimits
from clpips.service.decoding.shared import SharedMemory
from clpips.service.decoding.worker import run

COMMAND: Final = struct.Struct("<cQ")  # what to do, and a capacity in bytes or the id of a process
ANSWER: Final = struct.Struct("<q")  # the id of a process, or a wait status; below 0 where it did not work
PR_SET_PDEATHSIG: Final = 1  # the operation's number in Linux's prctl
FORK: Final = b"f"
END: Final = b"e"


def main(descriptor: int, nbytes: int, seconds: float) -> None:
    """Serve commands on the socket of this descriptor until it is closed."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # for the service, which closes the socket when it is done
        signal.signal(ignored, signal.SIG_IGN)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")
    _load_decoders()
    limits = DecoderLimits(nbytes, seconds)
    with socket.socket(fileno=descriptor) as commands:
        children: set[int] = set()
        try:
            _serve(commands, children, limits)
        except ConnectionError:  # the service has gone without hearing the last answer
            pass
        finally:
            for process in children:
                _end(process)


def _serve(commands: socket.socket, children: set[int], limits: DecoderLimits) -> None:
    """Serve commands until the socket is closed; `children` are the processes that live. Raises `ConnectionError`."""
    commands.sendall(ANSWER.pack(0))
    while True:
        message, descriptors, _, _ = socket.recv_fds(commands, COMMAND.size, 2)
        if len(message) < COMMAND.size:
            return
        command, number = COMMAND.unpack(message)
        if command == FORK:
            process = _fork(commands, descriptors, number, limits)
            children.add(process)
            commands.sendall(ANSWER.pack(process))
        else:
            commands.sendall(ANSWER.pack(_end(number) if number in children else -1))
            children.discard(number)


def _fork(commands: socket.socket, descriptors: list[int], capacity: int, limits: DecoderLimits) -> int:
    process = os.fork()
    if process:
        for descriptor in descriptors:
            os.close(descriptor)
        return process
    try:
        _die_with_parent()
        commands.close()
        connection = socket.socket(fileno=descriptors[0])
        run(connection, SharedMemory(descriptors[1], capacity), limits)
    finally:
        os._exit(1)


def _die_with_parent() -> None:
    """Have the kernel end this process when the fork server ends, even where something has stopped it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: int) -> int:
    """End a child, if it has not ended by itself; its wait status."""
    os.kill(process, signal.SIGKILL)  # it is ours and not waited for yet, so that its id is no other's
    return os.waitpid(process, 0)[1]


def _load_decoders() -> None:
    """Load all that a decoder process needs, so that each begins with it."""
    Image.init()
    picture = Image.fromarray(np.zeros((64, 64, 3), np.uint8))
    for name in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        file = io.BytesIO()
        picture.save(file, name)
        load_image(file.getvalue(), 32)
    gc.collect()
    gc.freeze()  # a collection in a child would write to every object, and so copy its page
