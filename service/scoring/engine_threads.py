"""Engine threads: the executors in which the engine embeds and compares, beside the event loop."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, Image
from clpips.models.metric.families import ALEXNET, Z_LENGTH, Families
from clpips.service.batching.batch import BatchReport
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.engine_health import EngineHealth

USUAL_SIDE: Final = 256  # the default resolution, pixels
RELIEF_SECONDS: Final = 1.0  # the longest wait of the engine for the event loop to drop features


class EngineThreads:
    """The engine behind two executors: `embed` is for threads of `embedding`, `compare` for the one of `comparing`.

    `embedding` has as many threads as the engine takes calls at a time. Where that is one, `comparing` is the same
    thread. Where it is more, `comparing` is a thread of its own, so that a pair whose features are there is compared
    at once, while images of other requests are being embedded.

    `health` watches the batches of both.
    """

    def __init__(self, engine: Engine, telemetry: Telemetry, max_failures: int) -> None:
        self._engine = engine
        self._telemetry = telemetry
        self.parallel = engine.parallel
        self.embedding = ThreadPoolExecutor(self.parallel, thread_name_prefix="embed")
        self.comparing = ThreadPoolExecutor(1, thread_name_prefix="compare") if self.parallel > 1 else self.embedding
        self.health = EngineHealth(self._run_small_batch, telemetry, max_failures)

    def embed(self, images: Sequence[Image], *, more: bool = False, network: str = ALEXNET) -> Sequence[Any]:
        """Features of each of n images of one size by a network; `more` as `Engine.embed` has it."""
        return self._engine.embed(images, more=more, network=network)

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        """Channel distances `(n, 6016)` of n pairs of one network's features; families not asked for are 0."""
        channel_distances = self._engine.compare(targets, candidates, families)
        if channel_distances.shape != (len(targets), Z_LENGTH):
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

    async def load(self, network: str) -> None:
        """Load a network that else is loaded when it is first used."""
        blank = np.zeros((USUAL_SIDE, USUAL_SIDE, 3), np.uint8)
        await asyncio.get_running_loop().run_in_executor(self.embedding, partial(self.embed, [blank], network=network))

    def embedded(self, report: BatchReport, network: str = ALEXNET) -> None:
        """Count a batch of images that a network has seen. Belongs on the event loop."""
        self._telemetry.embedded(report, busy_seconds=report.ran / self.parallel, network=network)
        self.health.note(failed=report.failed == report.items)

    def compared(self, report: BatchReport) -> None:
        """Count a batch of pairs that has run. Belongs on the event loop."""
        busy_seconds = report.ran if self.comparing is self.embedding else 0.0
        self._telemetry.compared(report, busy_seconds=busy_seconds)
        self.health.note(failed=report.failed == report.items)

    def close(self) -> None:
        """Let the work in hand finish; what waits is dropped."""
        self.health.close()
        self.embedding.shutdown(cancel_futures=True)
        self.comparing.shutdown(cancel_futures=True)

    async def _run_small_batch(self) -> None:
        """Embed and compare two blank images. Raises what the engine raises."""
        blank = np.zeros((USUAL_SIDE, USUAL_SIDE, 3), np.uint8)

        def work() -> None:
            target, candidate = self.embed([blank, blank])
            self.compare([target], [candidate])

        await asyncio.get_running_loop().run_in_executor(self.embedding, work)
