"""Watchdog timer: a daemon thread that ends the process when something hangs: a batch, the event loop, the shutdown.

It waits for nobody: no lock of the service's, no executor, no event loop. A supervisor starts the process again.
"""

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

import structlog

from clpips.service.batching.running import Running

EXIT_CODE: Final = 4
MOST_GRACE_SECONDS: Final = 5.0  # between `/readyz` at 503 and the end: balancers see the one before the other
LONGEST_TICK_SECONDS: Final = 1.0
LAST_WORDS_SECONDS: Final = 1.0  # for the log, which may be what hangs

log = structlog.get_logger()


class Watchdog:
    """Calls `end` with the reason, once, when something hangs.

    What runs in `running`, or a turn of the event loop, hangs when it has taken `stall_seconds` and some grace. Time in
    which the process itself did not run, because it was stopped or its machine slept, does not count: the thread adds
    up its own short waits.
    """

    def __init__(self, running: Running, stall_seconds: float, end: Callable[[str], None] | None = None) -> None:
        self._running = running
        self._patience = stall_seconds + min(stall_seconds, MOST_GRACE_SECONDS)
        self._tick_seconds = min(LONGEST_TICK_SECONDS, stall_seconds / 10)
        self._end = end or end_process
        self._now = 0.0  # seconds that the process has run, as far as this thread saw
        self._first_seen: dict[int, float] = {}  # when each work was first seen, by its number
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_at: float | None = None  # when the event loop was asked for a sign of life; None once it gave it
        self._gone_by: float | None = None  # when the process should be gone
        self._wanted: float | None = None  # seconds from now, as `expect_end` was told last
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def watch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch the turns of this event loop too."""
        self._loop = loop

    def expect_end(self, seconds: float) -> None:
        """The process is stopping, and should be gone in so many seconds. An earlier time that was told stays."""
        self._wanted = seconds if self._wanted is None else min(self._wanted, seconds)

    def tick(self, elapsed: float) -> str | None:
        """Look once, `elapsed` seconds after the last look; what hangs, if something does."""
        self._now += min(elapsed, 2 * self._tick_seconds)
        return self._hanging_work() or self._hanging_loop() or self._hanging_end()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(self._tick_seconds):
            now = time.monotonic()
            reason = self.tick(now - last)
            last = now
            if reason is not None:
                self._end(reason)
                return

    def _hanging_work(self) -> str | None:
        works = self._running.works()
        self._first_seen = {number: self._first_seen.get(number, self._now) for number in works}
        for number, work in works.items():
            seconds = self._now - self._first_seen[number]
            if seconds > self._patience * work.patience:
                return f"work of the stage {work.stage!r} has run for {seconds:.0f} s"
        return None

    def _hanging_loop(self) -> str | None:
        if self._loop is None:
            return None
        if self._asked_at is None:
            self._asked_at = self._now
            try:
                self._loop.call_soon_threadsafe(self._sign_of_life)
            except RuntimeError:  # it is closed: what is left is to exit
                self._loop = self._asked_at = None
            return None
        seconds = self._now - self._asked_at
        return f"the event loop has not turned for {seconds:.0f} s" if seconds > self._patience else None

    def _sign_of_life(self) -> None:
        self._asked_at = None

    def _hanging_end(self) -> str | None:
        if self._wanted is not None:
            by = self._now + self._wanted
            self._gone_by = by if self._gone_by is None else min(self._gone_by, by)
            self._wanted = None
        return "the service does not stop" if self._gone_by is not None and self._now > self._gone_by else None


def end_process(reason: str) -> None:
    """Exit with `EXIT_CODE` whatever other threads do, after the log has the reason and where each thread stands."""

    def last_words() -> None:
        log.critical("hanging; exiting for the supervisor to start the service again", reason=reason, threads=stacks())
        sys.stderr.flush()

    writing = threading.Thread(target=last_words, daemon=True)
    writing.start()
    writing.join(LAST_WORDS_SECONDS)
    os._exit(EXIT_CODE)


def stacks() -> dict[str, list[str]]:
    """Where each thread of the process stands, outermost call first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(number, str(number)): [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_stack(top)
        ]
        for number, top in sys._current_frames().items()
    }
