"""Work sharing (a thread pool of a CPU engine's cores): who calls alone has all cores, who calls beside others one.

A core that has an image to itself never waits for the others after a layer: that saves a fifth of the time, and more
where other threads want the cores too.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Final, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

PART: Final = 4  # items a core takes at a time of a lone call: activations stay small, and the cores end together


def core_count() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Cores:
    """`count` cores, for calls from any number of threads."""

    def __init__(self, count: int, *, pinned: bool = False) -> None:
        """`pinned` tells that `by_all` has threads of its own, each bound to a core, on all cores but the first."""
        self.count = count
        self._pinned = pinned and hasattr(os, "sched_setaffinity")
        self._calls = 0
        self._counting = threading.Lock()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="core")  # its threads start when they are needed

    def map(
        self,
        items: Sequence[ItemT],
        by_one: Callable[[Sequence[ItemT]], list[ResultT]],
        by_all: Callable[[Sequence[ItemT]], list[ResultT]],
    ) -> list[ResultT]:
        """What `by_one` makes of the items, on this thread where other calls run, else shared out among the cores.

        `by_all` is given the item of a call that is alone and has a single one.

        >>> cores = Cores(2)
        >>> cores.map("abcdef", by_one=lambda letters: [letter.upper() for letter in letters], by_all=list)
        ['A', 'B', 'C', 'D', 'E', 'F']
        >>> cores.close()
        """
        with self._call() as alone:
            if not alone or self.count == 1:
                return by_one(items)
            if len(items) == 1:
                with on_first_core() if self._pinned else nullcontext():
                    return by_all(items)
            size = min(max(len(items) // (2 * self.count), 1), PART)
            parts = [items[start : start + size] for start in range(0, len(items), size)]
            return [result for results in self._pool.map(by_one, parts) for result in results]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    @contextmanager
    def _call(self) -> Iterator[bool]:
        """A call, for as long as the context lasts; whether it began alone."""
        with self._counting:
            alone = not self._calls
            self._calls += 1
        try:
            yield alone
        finally:
            with self._counting:
                self._calls -= 1


@contextmanager
def on_first_core() -> Iterator[None]:
    """Within it this thread runs on the first of its cores, and not beside a thread that is bound to another.

    The system may wake it on a core whose own thread then waits for it, and finds out after milliseconds alone.
    """
    cores = os.sched_getaffinity(0)
    with suppress(OSError):  # where a container forbids it, the system decides
        os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)
