"""The threads in which the work is done: a pool that decodes images, and the one thread that owns the engine."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from models.backbone import TOTAL_CHANNELS
from models.engines import Engine
from models.images import Pixels
from service.batching import BatchReport
from service.telemetry import Telemetry

WARM_UP_SIDE: Final = 256
PROBE_SECONDS: Final = 1.0  # between two tries of an engine that fails

log = structlog.get_logger()


class Decoder:
    """A pool of threads that turns the bytes of images into pixels."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


class EngineThread:
    """The one thread in which the engine runs, and what is known of the engine's health.

    `embed` and `compare` are for that thread alone. A batch that fails altogether makes the engine `failing`: it is
    then tried every second until it runs again, or has failed `max_failures` times in a row and is `dead`.
    """

    def __init__(self, engine: Engine, telemetry: Telemetry, max_failures: int) -> None:
        self._engine = engine
        self._telemetry = telemetry
        self._max_failures = max_failures
        self._failures = 0  # in a row
        self._probe: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    @property
    def failing(self) -> bool:
        return self._failures > 0

    @property
    def dead(self) -> bool:
        return self._failures >= self._max_failures

    def embed(self, images: Pixels) -> Sequence[Any]:
        """Features of each of n images `(n, h, w, 3)`."""
        return self._engine.embed(images)

    def compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        """Channel distances `(n, 1152)` of n pairs."""
        channel_distances = self._engine.compare(targets, candidates)
        if channel_distances.shape != (len(targets), TOTAL_CHANNELS):
            raise RuntimeError(f"the engine compared {len(targets)} pairs and returned {channel_distances.shape}")
        return channel_distances

    async def warm_up(self) -> None:
        """Run one small batch through both halves, so that no request pays for what an engine does only once."""
        blank = np.zeros((2, WARM_UP_SIDE, WARM_UP_SIDE, 3), np.uint8)

        def work() -> None:
            target, candidate = self.embed(blank)
            self.compare([target], [candidate])

        await asyncio.get_running_loop().run_in_executor(self.thread, work)

    def embedded(self, report: BatchReport) -> None:
        """Hear of a batch of images."""
        self._telemetry.embedded(report)
        self._note(failed=report.failed == report.items)

    def compared(self, report: BatchReport) -> None:
        """Hear of a batch of pairs."""
        self._telemetry.compared(report)
        self._note(failed=report.failed == report.items)

    def close(self) -> None:
        """Let the work in hand finish; what waits is dropped."""
        if self._probe:
            self._probe.cancel()
        self.thread.shutdown(cancel_futures=True)

    def _note(self, *, failed: bool) -> None:
        if not failed:
            self._failures = 0
            return
        self._failures += 1
        self._telemetry.engine_failures.inc()
        log.error("the engine failed", failures=self._failures, dead=self.dead)
        if not self.dead and (self._probe is None or self._probe.done()):
            self._probe = asyncio.create_task(self._try_again())

    async def _try_again(self) -> None:
        while self.failing and not self.dead:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self.warm_up()
            except Exception:  # noqa: BLE001  whatever it is, the engine has failed once more
                self._note(failed=True)
            else:
                self._note(failed=False)
                log.info("the engine runs again")
