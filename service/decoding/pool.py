"""Pool of decoder processes: those that wait for an image, the server that forks more, and how each of them ends."""

import threading
from typing import Final

import structlog

from clpips.service.decoding.forking import Nursery, NurseryError, Worker
from clpips.service.decoding.limits import DecoderLimits

ENDED_BY_OTHERS: Final = 9  # SIGKILL: as the kernel ends processes for want of memory, and people do

log = structlog.get_logger()


class NoDecoderError(RuntimeError):
    """No process can be started to decode the image: the machine has no room for one, or the service is stopping."""


class WorkerPool:
    """Workers that are lent to one image at a time. Its methods may be called by any thread."""

    def __init__(self, limits: DecoderLimits, capacity: int) -> None:
        """`capacity` bounds the bytes of a file, and of its pixels, that a process shares with the service."""
        self._limits = limits
        self._capacity = capacity
        self._lock = threading.Lock()
        self._nursery: Nursery | None = None
        self._idle: list[Worker] = []
        self.closed = False

    def start(self, count: int) -> None:
        """Start so many processes. Raises `NurseryError` or `OSError`."""
        started = [self._fork() for _ in range(count)]
        with self._lock:
            self._idle += started

    @property
    def idle(self) -> list[int]:
        """The ids of the processes that wait for an image."""
        with self._lock:
            return [worker.process for worker in self._idle]

    def take(self) -> Worker:
        """A process that waits, or a new one. Raises `NoDecoderError`."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self.start_one()

    def start_one(self) -> Worker:
        """A new process, which is surely there. Raises `NoDecoderError`."""
        try:
            return self._fork()
        except (NurseryError, OSError) as error:
            raise NoDecoderError(f"no decoder process could be started: {error}") from error

    def _fork(self) -> Worker:
        """A new process, of a new fork server where the last one has ended."""
        nursery = self._running()
        try:
            return nursery.fork(self._capacity)
        except NurseryError as error:
            log.warning("the server that forks decoders has ended; it is started again", reason=str(error))
            self._forget(nursery)
            return self._running().fork(self._capacity)

    def _running(self) -> Nursery:
        with self._lock:
            if self.closed:
                raise NurseryError("the service is stopping")
            if self._nursery is None:
                self._nursery = Nursery(self._limits)
            return self._nursery

    def _forget(self, nursery: Nursery) -> None:
        with self._lock:
            if self._nursery is not nursery:
                return
            self._nursery = None
            stale, self._idle = self._idle, []
        for worker in stale:
            worker.close()
        nursery.close()

    def give_back(self, worker: Worker, nbytes: int, *, last: bool) -> None:
        """Let the worker wait for its next image, where it is as good as new; `nbytes` of its memory have been used."""
        if last or worker.nice or self.closed:
            self.end(worker)
            return
        worker.memory.release(nbytes)
        with self._lock:
            self._idle.append(worker)

    def end(self, worker: Worker) -> int:
        """End a worker; its wait status, as that of one that others ended where it cannot be known.

        A fork server that does not answer is left, with its processes: what stopped it may have stopped them.
        """
        try:
            return worker.nursery.end(worker)
        except NurseryError as error:
            log.warning("the server that forks decoders is left, and started again", reason=str(error))
            self._forget(worker.nursery)
            return ENDED_BY_OTHERS

    def close(self) -> None:
        """End all processes. Those that decode are ended too."""
        with self._lock:
            self.closed = True
            nursery, self._nursery = self._nursery, None
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()
        if nursery is not None:
            nursery.close()
