"""The threads in which the work is done: a pool that decodes images, and one that runs the engine."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, Image, JpegDecoder
from clpips.models.metric.backbone import TOTAL_CHANNELS
from clpips.service.batching.batcher import BatchReport
from clpips.service.ops.telemetry import Telemetry

USUAL_SIDE: Final = 256  # the default resolution, pixels
RELIEF_SECONDS: Final = 1.0  # that the engine waits for the event loop to drop features
PROBE_SECONDS: Final = 1.0  # between two tries of an engine that fails

log = structlog.get_logger()


class Decoder:
    """Threads that turn the bytes of images into pixels: a pool, and one for `jpegs`, on the engine's device."""

    def __init__(self, threads: int, jpegs: JpegDecoder | None = None) -> None:
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.jpegs = jpegs
        self.jpeg_thread = ThreadPoolExecutor(1, thread_name_prefix="jpeg")

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.jpeg_thread.shutdown(cancel_futures=True)


class EngineThreads:
    """The threads in which the engine runs, as many as it takes, and what is known of the engine's health.

    `embed` is for `embedding` alone and `compare` for `comparing`: the same single thread, or, where the engine takes
    several calls, a thread that waits for none of them, so that who has all features is answered at once. A batch that
    fails altogether makes the engine `failing`: it is then tried every second until it runs again, or has failed
    `max_failures` times in a row and is `dead`.
    """

    def __init__(self, engine: Engine, telemetry: Telemetry, max_failures: int) -> None:
        self._engine = engine
        self._telemetry = telemetry
        self._max_failures = max_failures
        self._failures = 0  # in a row
        self._probe: asyncio.Task[None] | None = None
        self.parallel = engine.parallel
        self.embedding = ThreadPoolExecutor(self.parallel, thread_name_prefix="embed")
        self.comparing = ThreadPoolExecutor(1, thread_name_prefix="compare") if self.parallel > 1 else self.embedding

    @property
    def failing(self) -> bool:
        return self._failures > 0

    @property
    def dead(self) -> bool:
        return self._failures >= self._max_failures

    def embed(self, images: Sequence[Image], *, more: bool = False) -> Sequence[Any]:
        """Features of each of n images of one size; `more` as `Engine.embed` has it."""
        return self._engine.embed(images, more=more)

    def compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        """Channel distances `(n, 1152)` of n pairs."""
        channel_distances = self._engine.compare(targets, candidates)
        if channel_distances.shape != (len(targets), TOTAL_CHANNELS):
            raise RuntimeError(f"the engine compared {len(targets)} pairs and returned {channel_distances.shape}")
        return channel_distances

    async def prepare(self, largest: int, feature_bytes: int | None, relieve: Callable[[], None]) -> int:
        """`Engine.prepare` for batches of up to `largest` images of the usual size.

        When the engine's memory runs out, `relieve` is called on the event loop, and the engine waits for it.
        """
        loop = asyncio.get_running_loop()

        def relieved() -> None:
            done = threading.Event()
            loop.call_soon_threadsafe(relieve)
            loop.call_soon_threadsafe(done.set)
            done.wait(RELIEF_SECONDS)

        self._engine.on_memory_pressure = relieved
        return await loop.run_in_executor(self.embedding, self._engine.prepare, USUAL_SIDE, largest, feature_bytes)

    async def probe(self) -> None:
        """Run one small batch through both halves."""
        blank = np.zeros((USUAL_SIDE, USUAL_SIDE, 3), np.uint8)

        def work() -> None:
            target, candidate = self.embed([blank, blank])
            self.compare([target], [candidate])

        await asyncio.get_running_loop().run_in_executor(self.embedding, work)

    def embedded(self, report: BatchReport) -> None:
        """Hear of a batch of images."""
        self._telemetry.embedded(report, busy=report.ran / self.parallel)
        self._note(failed=report.failed == report.items)

    def compared(self, report: BatchReport) -> None:
        """Hear of a batch of pairs."""
        self._telemetry.compared(report, busy=report.ran if self.comparing is self.embedding else 0.0)
        self._note(failed=report.failed == report.items)

    def close(self) -> None:
        """Let the work in hand finish; what waits is dropped."""
        if self._probe:
            self._probe.cancel()
        self.embedding.shutdown(cancel_futures=True)
        self.comparing.shutdown(cancel_futures=True)

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
                await self.probe()
            except Exception:  # noqa: BLE001  whatever it is, the engine has failed once more
                self._note(failed=True)
            else:
                self._note(failed=False)
                log.info("the engine runs again")
