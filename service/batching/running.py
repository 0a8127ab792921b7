"""Work in progress: what runs at this moment, by stage, and for how long. Any thread may begin, end and ask."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Work(NamedTuple):
    """Something that runs."""

    stage: str
    started: float  # by the clock of its `Running`
    patience: float  # how many times as long as others it may take


class Running:
    """What runs at this moment. `clock` is one that all threads share, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._works: dict[int, Work] = {}
        self._next = 0

    @contextmanager
    def work(self, stage: str, patience: float = 1.0) -> Iterator[None]:
        """Something of this stage runs for as long as the context lasts, in the calling thread."""
        with self._lock:
            number = self._next = self._next + 1
            self._works[number] = Work(stage, self._clock(), patience)
        try:
            yield
        finally:
            with self._lock:
                del self._works[number]

    def works(self) -> dict[int, Work]:
        """All that runs, by a number that nothing else has had or will have."""
        with self._lock:
            return dict(self._works)

    def oldest(self, stage: str) -> float:
        """Seconds for which the oldest work of a stage has run; 0 where none runs."""
        now = self._clock()
        return max((now - work.started for work in self.works().values() if work.stage == stage), default=0.0)

    def longest(self) -> tuple[float, str]:
        """The oldest work of all: seconds for which it has run, divided by its patience, and its stage."""
        now = self._clock()
        return max(
            (((now - one.started) / one.patience, one.stage) for one in self.works().values()), default=(0.0, "")
        )
