"""The service's side of the fork server: it starts it, and has decoder processes made and ended."""

import os
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Final

from clpips.service.decoding.limits import DecoderLimits
from clpips.service.decoding.messages import receive
from clpips.service.decoding.shared import SharedMemory
from clpips.service.decoding.words import DecoderWords

START: Final = "from clpips.service.decoding.nursery import main; main({descriptor}, {nbytes}, {seconds})"
START_SECONDS: Final = 60.0  # until it must have loaded everything, on a machine that is busy
ANSWER_SECONDS: Final = 8.0  # until it must have forked, which takes milliseconds
ENVIRONMENT: Final = {
    "OPENBLAS_NUM_THREADS": "1",  # a process with one thread can be forked
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # Pixels of usual images stay on the heap from one image to the next: to map them anew costs a third of decoding.
    "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20),
    "LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER": "100",
}


class NurseryError(Exception):
    """The fork server has ended, or does not answer."""


@dataclass(eq=False, slots=True)
class Worker:
    """One decoder process, as the service has it."""

    process: int  # its id, which is its own until it is ended by `Nursery.end`
    connection: socket.socket
    memory: SharedMemory
    nursery: "Nursery"
    nice: bool = False

    def close(self) -> None:
        self.connection.close()
        self.memory.close()


class Nursery:
    """A running fork server. Its methods may be called by any thread.

    One that does not answer within `answer_seconds` is not asked again: its late answer would be taken for the answer
    to another command, and the process that it names for another.
    """

    def __init__(self, limits: DecoderLimits, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Start it, and wait until it has loaded the decoders. Raises `NurseryError`."""
        self._lock = threading.Lock()
        self._answer_seconds = answer_seconds
        self._hangs = False
        ours, theirs = socket.socketpair()
        self._commands = ours
        with theirs:
            descriptor = theirs.fileno()
            code = START.format(descriptor=descriptor, nbytes=limits.nbytes, seconds=limits.seconds)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and code of ours
                    [sys.executable, "-P", "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=[descriptor],
                    env={**os.environ, **ENVIRONMENT},
                )
            except OSError as error:
                ours.close()
                raise NurseryError(f"it cannot be started: {error}") from error
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        self._words = DecoderWords(self._process.stderr)
        try:
            self._answer(START_SECONDS)
        except NurseryError:
            self.close()
            raise

    @property
    def process(self) -> int:
        """The id of the fork server."""
        return self._process.pid

    def fork(self, capacity: int) -> Worker:
        """A new decoder process, with shared memory of up to `capacity` bytes. Raises `NurseryError` or `OSError`."""
        memory = SharedMemory.create(capacity)
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                self._command(b"f", capacity, [theirs.fileno(), memory.descriptor])
                process = self._answer(self._answer_seconds)
        except (NurseryError, OSError):
            ours.close()
            memory.close()
            raise
        return Worker(process, ours, memory, self)

    def end(self, worker: Worker) -> int:
        """End a decoder process, if it has not ended by itself; its wait status. Raises `NurseryError`."""
        worker.close()
        with self._lock:
            self._command(b"e", worker.process, [])
            return self._answer(self._answer_seconds)

    def close(self) -> None:
        """End the fork server and all of its processes."""
        self._commands.close()
        try:
            self._process.wait(0 if self._hangs else self._answer_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.join()

    def _command(self, command: bytes, number: int, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._commands, [struct.pack("<cQ", command, number)], descriptors)
        except OSError as error:
            raise NurseryError("it has ended") from error

    def _answer(self, seconds: float) -> int:
        try:
            self._commands.settimeout(seconds)
            answer = receive(self._commands, 8)
        except OSError as error:
            self._hangs = True
            self._commands.close()
            raise NurseryError(f"it does not answer: {error}") from error
        if answer is None:
            raise NurseryError("it has ended")
        number: int = struct.unpack("<q", answer)[0]
        if number < 0:
            raise NurseryError("it knows no such process")
        return number
