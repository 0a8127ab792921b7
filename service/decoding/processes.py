"""Decoder processes: each decodes one image at a time, is ended when nobody waits for the image any more, and replaced.

A thread that decodes cannot be stopped, and shares its memory and its crashes with everybody. These processes have
bounds on memory and on processor time. An image that goes beyond them, or that a decoder does not survive, is refused.

Each image may have a share of memory. Of those that need more one is decoded at a time, when there is room for it.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.errors import DecoderError
from clpips.models.images.pixels import DecodedImage, Pixels
from clpips.service.decoding.forking import Worker
from clpips.service.decoding.limits import DecoderLimits, needs_too_much_memory, why_it_ended
from clpips.service.decoding.messages import Job, Outcome, Reply, Task, receive_reply, send_job
from clpips.service.decoding.pool import ENDED_BY_OTHERS, WorkerPool

LOOK_SECONDS: Final = 0.2  # between two looks at whether somebody still waits
ANSWER_SECONDS: Final = 10.0  # for the rest of a reply that has begun
PATIENT_SECONDS: Final = 1.0  # after which an image gives way to others
LARGE_BYTES: Final = 2**24  # of a file that gets no share of memory: already its bytes take much of one
HEAD_BYTES: Final = 32 * 2**20  # that reading a file's head takes beside the file
NICENESS: Final = 15  # of a process that decodes such an image


class AbandonedError(Exception):
    """Nobody waits for the image any more: its process has been ended."""


class WantsMoreError(Exception):
    """The image needs more memory than its share: so many bytes."""

    def __init__(self, nbytes: int) -> None:
        super().__init__(f"the image needs {nbytes:,} bytes of memory")
        self.nbytes = nbytes


class Memory(NamedTuple):
    """What an image may have."""

    share_only: bool = False  # and no more
    needs: int = 0  # bytes, where they are known to be more than its share


ALL: Final = Memory()
SHARE: Final = Memory(share_only=True)

# Waits until so many bytes of memory may be taken, as long as somebody wants them, and gives how many, 0 for none.
Taking = Callable[[int, Callable[[], bool], int], AbstractContextManager[int]]


class DecoderProcesses:
    """Up to `count` processes, which `decode` uses from as many threads as call it.

    An image that needs more memory than its share waits for its turn and for room in the thread that brings it, unless
    its `memory` is the share alone: then `WantsMoreError` says what it needs.
    """

    def __init__(
        self,
        count: int,
        limits: DecoderLimits,
        capacity: int,
        taking: Taking = lambda nbytes, _, __: nullcontext(nbytes),
    ) -> None:
        """`capacity` bounds the bytes of a file, and of its pixels, that a process shares with the service."""
        self.count = count
        self._limits = limits
        self._pool = WorkerPool(limits, capacity)
        self._taking = taking
        self._alone = threading.Lock()  # held while an image has more than its share

    def start(self) -> None:
        """Start all processes. Raises `NurseryError` or `OSError`."""
        self._pool.start(self.count)

    @property
    def idle(self) -> list[int]:
        """The ids of the processes that wait for an image."""
        return self._pool.idle

    def decode(
        self,
        content: bytes,
        resolution: int | None,
        max_pixels: int,
        wanted: Callable[[], bool] = lambda: True,
        longest: int | None = None,
        memory: Memory = ALL,
    ) -> DecodedImage:
        """The pixels of an image, as `load_image` gives them. `wanted` tells whether somebody still waits for them.

        With `longest` a thumbnail comes with them, as `thumbnail` makes it, where there is room for both. Raises
        `ImageError`, `AbandonedError`, `WantsMoreError`, `NoDecoderError`, `MemoryError` where there is too little for
        it now, or `RuntimeError` where a decoder fails by itself.
        """
        job = Job(len(content), resolution, max_pixels, longest=longest or 0)
        with self._done(job, content, wanted, memory) as (worker, reply):
            return self._decoded(worker, reply, len(content), longest)

    def _decoded(self, worker: Worker, reply: Reply, content_nbytes: int, longest: int | None) -> DecodedImage:
        nbytes = 3 * reply.height * reply.width
        small = None
        try:
            pixels = worker.memory.read_array(reply.height, reply.width, 3)
            if longest and min(reply.small) > 0 and max(reply.small) <= longest:
                small = worker.memory.read_array(*reply.small, 3, behind=nbytes)
        finally:
            self._pool.give_back(
                worker, max(content_nbytes, nbytes + 3 * reply.small[0] * reply.small[1]), last=reply.last
            )
        return DecodedImage(pixels, reply.size, small)

    def mask(
        self,
        content: bytes,
        max_pixels: int,
        wanted: Callable[[], bool] = lambda: True,
        memory: Memory = ALL,
    ) -> NDArray[np.uint8]:
        """The values of a mask that is an image, uint8 `(h, w)`, as `decode_mask` has them. Raises as `decode` does."""
        job = Job(len(content), None, max_pixels, Task.MASK)
        with self._done(job, content, wanted, memory) as (worker, reply):
            try:
                return worker.memory.read_array(reply.height, reply.width)
            finally:
                self._pool.give_back(worker, max(len(content), reply.height * reply.width), last=reply.last)

    def thumbnail(
        self,
        content: bytes,
        longest: int,
        max_pixels: int,
        wanted: Callable[[], bool] = lambda: True,
        memory: Memory = ALL,
    ) -> Pixels:
        """The pixels of an image, no side longer than `longest`, as `EncodedImage.thumbnail` gives them.

        Raises what `decode` raises.
        """
        job = Job(len(content), longest, max_pixels, Task.THUMBNAIL)
        with self._done(job, content, wanted, memory) as (worker, reply):
            try:
                return worker.memory.read_array(reply.height, reply.width, 3)
            finally:
                self._pool.give_back(worker, max(len(content), 3 * reply.height * reply.width), last=reply.last)

    def size(
        self,
        content: bytes,
        max_pixels: int,
        wanted: Callable[[], bool] = lambda: True,
        memory: Memory = ALL,
    ) -> tuple[int, int]:
        """Width and height of an image, as `image_size` gives them. Raises what `decode` raises."""
        job = Job(len(content), None, max_pixels, Task.SIZE)
        with self._done(job, content, wanted, memory) as (worker, reply):
            self._pool.give_back(worker, len(content), last=reply.last)
        return reply.width, reply.height

    def close(self) -> None:
        """End all processes. Those that decode are ended too."""
        self._pool.close()

    @contextmanager
    def _done(
        self, job: Job, content: bytes, wanted: Callable[[], bool], memory: Memory
    ) -> Iterator[tuple[Worker, Reply]]:
        """The worker that did the job, which the context gives back, and its reply. Raises what `decode` raises."""
        needs = memory.needs
        if not needs and len(content) > LARGE_BYTES:
            needs = min(len(content) + HEAD_BYTES, self._limits.nbytes)
            if memory.share_only:
                raise WantsMoreError(needs)
        elif not needs:
            try:
                done = self._run(job, content, wanted)
            except WantsMoreError as more:
                if memory.share_only:
                    raise
                needs = more.nbytes
            else:
                yield done
                return
        with self._one_at_a_time(wanted):
            if len(content) > LARGE_BYTES and job.task != Task.SIZE:
                with self._room(needs, wanted) as granted:
                    looking = job._replace(task=Task.SIZE, allowed=granted)
                    worker, reply = self._run(looking, content, wanted)
                    self._pool.give_back(worker, len(content), last=reply.last)
                needs = self._limits.needs(reply.width * reply.height, len(content))
            for _ in range(2):
                with self._room(needs, wanted) as granted:
                    try:
                        done = self._run(job._replace(allowed=granted), content, wanted)
                    except WantsMoreError as more:  # it is no file like others
                        if granted < needs:
                            raise MemoryError("there is no memory for the image now") from more
                        needs = more.nbytes
                    else:
                        yield done
                        return
        raise DecoderError(needs_too_much_memory(self._limits))

    @contextmanager
    def _one_at_a_time(self, wanted: Callable[[], bool]) -> Iterator[None]:
        while not self._alone.acquire(timeout=LOOK_SECONDS):
            if not wanted():
                raise AbandonedError("nobody waits for the image any more")
        try:
            yield
        finally:
            self._alone.release()

    @contextmanager
    def _room(self, needs: int, wanted: Callable[[], bool]) -> Iterator[int]:
        with self._taking(needs, lambda: not self._pool.closed and wanted(), self._limits.shared_nbytes) as granted:
            if not granted:
                raise AbandonedError("nobody waits for the image any more")
            yield granted

    def _run(self, job: Job, content: bytes, wanted: Callable[[], bool]) -> tuple[Worker, Reply]:
        """The worker that did the job, to be given back, and its reply. Raises what `decode` raises."""
        worker = self._pool.take()
        reply = self._ask(worker, job, content, wanted)
        if reply == ENDED_BY_OTHERS:  # the image may have no part in it: once more, by a process that is surely there
            worker = self._pool.start_one()
            reply = self._ask(worker, job, content, wanted)
        if not isinstance(reply, Reply):
            raise DecoderError(why_it_ended(reply, self._limits))
        if reply.outcome == Outcome.DONE:
            return worker, reply
        self._pool.give_back(worker, job.nbytes, last=reply.last)
        if reply.outcome == Outcome.REFUSED:
            raise reply.error(reply.text)
        if reply.outcome == Outcome.WANTS_MORE:
            raise WantsMoreError(min(max(reply.needs, 1), self._limits.nbytes))
        if reply.outcome == Outcome.NO_MEMORY:
            raise DecoderError(needs_too_much_memory(self._limits))
        raise RuntimeError(f"the decoder failed: {reply.text}")

    def _ask(self, worker: Worker, job: Job, content: bytes, wanted: Callable[[], bool]) -> Reply | int:
        """The worker's reply, or the wait status with which it ended. Raises `AbandonedError`."""
        worker.memory.write(content)
        started = time.monotonic()
        try:
            send_job(worker.connection, job)
            readable = select.poll()
            readable.register(worker.connection, select.POLLIN)
            while not readable.poll(LOOK_SECONDS * 1000):
                if not wanted():
                    self._pool.end(worker)
                    raise AbandonedError("nobody waits for the image any more")
                if not worker.nice and time.monotonic() - started > PATIENT_SECONDS:
                    worker.nice = True
                    with contextlib.suppress(OSError):
                        os.setpriority(os.PRIO_PROCESS, worker.process, NICENESS)
            worker.connection.settimeout(ANSWER_SECONDS)
            reply = receive_reply(worker.connection)
        except (ConnectionError, TimeoutError):
            reply = None
        return self._pool.end(worker) if reply is None else reply
