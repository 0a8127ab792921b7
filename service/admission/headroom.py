"""Memory governor (headroom): what takes much memory at once begins when there is room for it, and not before.

The other bounds of this room say how much there may be of each kind. Here all kinds count together, as the kernel
counts them: the memory in use is measured, and what has been promised and not been taken yet is added to it.
"""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from clpips.service.ops.memory import Held

SPARE_SHARE: Final = 1 / 6  # of the limit, for what asks nobody: decoders' shares, small images, bodies on their way
SMALL_SHARE: Final = 1 / 12  # of the limit: who takes no more is small, and goes before large ones
OVERTAKEN_SECONDS: Final = 5.0  # for which other large ones that fit may go before who waits for more
PATIENT_SECONDS: Final = 5.0  # after which who can do with less takes what there is
PAUSE_SECONDS: Final = 2.0  # the longest that something waits of which nobody knows how much it takes
LOOK_SECONDS: Final = 0.05  # between two looks at whether there is room
WATCH_SECONDS: Final = 0.1  # between two looks at whether the reserve must shrink
RELEASE_SECONDS: Final = 1.0  # between two times that freed memory is given back though nothing was reclaimed
LEAST_RECLAIMED: Final = 32 * 2**20  # bytes: to give less back to the system is not worth it


class _Promise:
    """So many bytes that somebody takes, or waits for."""

    def __init__(self, nbytes: int, least: int, *, apart: bool) -> None:
        self.nbytes = nbytes
        self.least = min(least, nbytes)
        self.apart = apart  # whether another process takes them
        self.since = time.monotonic()
        self.before = Held(0, 0)  # what was held when it was given


class Headroom:
    """Bytes of the limit that are neither held nor promised. Its methods may be called by any thread.

    Who waits comes in when there is room: small ones before large ones, and these in turn; a large one that fits goes
    before others that do not, until they have waited for `OVERTAKEN_SECONDS`. While nobody has a promise, so that
    waiting alone frees nothing, half of the spare part is there too. Who waits makes the reserve (features that are
    kept for later requests) shrink. Nothing waits without a limit.
    """

    def __init__(self, limit: int | None = None, held: Callable[[], Held] = lambda: Held(0, 0)) -> None:
        """`limit` is that of all processes together, in bytes, and `held` tells how many of them they hold."""
        self._limit = math.inf if limit is None else limit
        self._most = self._limit * (1 - SPARE_SHARE)
        self._held = held
        self._lock = threading.Lock()
        self._waiting: list[_Promise] = []  # the longest first
        self._promised: list[_Promise] = []  # the oldest first
        self.is_short = False  # whether nothing is left but the spare part

    @property
    def limits(self) -> bool:
        """Whether anything waits at all."""
        return self._most < math.inf

    @contextmanager
    def taking(self, nbytes: int, wanted: Callable[[], bool], least: int) -> Iterator[int]:
        """The bytes that another process may take until the context ends, for a thread: `nbytes`, once there is room.

        After `PATIENT_SECONDS` it is what there is, if that is at least `least` and nobody has a promise. 0 where
        nobody has wanted it any more.
        """
        promise = _Promise(nbytes, least, apart=True)
        try:
            while not (granted := self._try(promise)) and wanted():
                time.sleep(LOOK_SECONDS)
            yield granted
        finally:
            self._end(promise)

    @asynccontextmanager
    async def of(self, nbytes: int, least: int, *, apart: bool = False) -> AsyncIterator[int]:
        """The same for a coroutine, whose wait a deadline cancels; with `apart` it is another process that takes it."""
        promise = _Promise(nbytes, least, apart=apart)
        try:
            while not (granted := self._try(promise)):  # noqa: ASYNC110 - nobody tells what is measured
                await asyncio.sleep(LOOK_SECONDS)
            yield granted
        finally:
            self._end(promise)

    async def pause(self) -> None:
        """Wait while nothing is left but the spare part, and not for long: for what is small and goes on anyway."""
        for _ in range(int(PAUSE_SECONDS / LOOK_SECONDS)):
            if not self.is_short:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def watch(self, reclaim: Callable[[int], int], release: Callable[[], None]) -> None:
        """Have the reserve give way to who waits, without end.

        `reclaim` forgets so many bytes, or fewer, and tells how many; `release` gives what is freed back to the system.
        """
        released = -math.inf
        while self.limits:
            await asyncio.sleep(WATCH_SECONDS)
            if (excess := self._excess()) > 0:
                now = time.monotonic()
                if reclaim(max(int(excess), LEAST_RECLAIMED)) or now - released > RELEASE_SECONDS:
                    await asyncio.to_thread(release)
                    released = now
                    excess = self._excess()
            self.is_short = excess > 0 and not self._waiting

    def _excess(self) -> float:
        """Bytes that are too many, or that the first who waits is short of."""
        with self._lock:
            wanted = self._waiting[0].nbytes if self._waiting else 0
            return self._expected(self._held()) + wanted - self._most

    def _expected(self, held: Held) -> float:
        """Bytes that will be in use when all have taken what they were promised."""
        expected = float(held.own + held.apart)
        for apart in (False, True):
            promised = [promise for promise in self._promised if promise.apart is apart]
            if promised:
                taken = held[apart] - promised[0].before[apart]
                expected += max(sum(promise.nbytes for promise in promised) - max(taken, 0), 0)
        return expected

    def _try(self, promise: _Promise) -> int:
        """The bytes that are granted; 0 where there is no room yet."""
        if not self.limits:
            return promise.nbytes
        with self._lock:
            if promise not in self._waiting:
                self._waiting.append(promise)
            now, held = time.monotonic(), self._held()
            free = self._most - self._expected(held)
            if not self._promised:
                free += self._limit * SPARE_SHARE / 2
            if not self._is_small(promise):
                first = next(other for other in self._waiting if not self._is_small(other))
                if first is not promise and now - first.since > OVERTAKEN_SECONDS:
                    return 0
            granted = promise.nbytes if promise.nbytes <= free else 0
            if not granted and not self._promised and now - promise.since > PATIENT_SECONDS and promise.least <= free:
                granted = promise.nbytes = int(free)
            if granted:
                self._waiting.remove(promise)
                promise.before = held
                self._promised.append(promise)
            return granted

    def _is_small(self, promise: _Promise) -> bool:
        return promise.nbytes <= self._limit * SMALL_SHARE

    def _end(self, promise: _Promise) -> None:
        with self._lock:
            for one in (self._waiting, self._promised):
                if promise in one:
                    one.remove(promise)
