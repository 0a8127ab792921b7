"""Engine threads: the executors in which the engine embeds and compares, beside the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, Image, JpegDecoder
from clpips.models.engines.devices import shares_main_memory
from clpips.models.metric.families import ALEXNET, LAYOUTS, Families, ZLayout
from clpips.models.metric.masks import Region
from clpips.service.batching.batch import BatchReport
from clpips.service.batching.running import Running
from clpips.service.ops.telemetry import Telemetry, embed_stage
from clpips.service.scoring.lanes.engine_health import EngineHealth
from clpips.service.scoring.lanes.verdicts import (
    NOBODYS_FAULT,
    USUAL_SIDE,
    NotFiniteError,
    is_at_fault,
    judge_images,
    judge_pairs,
    known_images,
)

RELIEF_SECONDS: Final = 1.0  # the longest wait of the engine for the event loop to drop features
WARM_UP_PATIENCE: Final = 5.0  # a warm-up may take so many times as long as a batch: it compiles and measures
WARM_UP_IMAGES: Final = 3  # about what a warm-up embeds

log = structlog.get_logger()


class EngineThreads:
    """The engine behind two executors: `embed` is for threads of `embedding`, `compare` for the one of `comparing`.

    `embedding` has as many threads as the engine takes calls at a time. Where that is one, `comparing` is the same
    thread. Where it is more, `comparing` is a thread of its own, so that a pair whose features are there is compared
    at once, while images of other requests are being embedded.

    `health` watches the batches of both; `running` knows what runs. `jpegs` is for `jpeg_thread`.
    """

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        max_failures: int,
        running: Running | None = None,
        jpegs: JpegDecoder | None = None,
        share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """`share` is the engine's of all that compute at this moment: one of two that are equal has 0.5."""
        self._engine = engine
        self._telemetry = telemetry
        self._share = share
        self.running = running or Running()
        self.parallel = engine.parallel
        self.device = engine.device
        self.shares_main_memory = shares_main_memory(engine)
        self.jpegs = jpegs  # None where all images are decoded on the host
        self.jpeg_thread = ThreadPoolExecutor(1, thread_name_prefix="jpeg")
        self.decoded_jpegs = telemetry.decoded_jpegs
        self.embedding = ThreadPoolExecutor(self.parallel, thread_name_prefix="embed")
        self.comparing = ThreadPoolExecutor(1, thread_name_prefix="compare") if self.parallel > 1 else self.embedding
        self._one_comparison = threading.Lock()  # an engine compares in one thread at a time
        self.health = EngineHealth(self._run_small_batch, telemetry, max_failures, self.device)

    @property
    def z_layout(self) -> ZLayout:
        """What stands where in channel distances."""
        return LAYOUTS[self._engine.net.name]

    def embed(self, images: Sequence[Image], *, more: bool = False, network: str = ALEXNET) -> Sequence[Any]:
        """Features of each of n images of one size by a network; `more` as `Engine.embed` has it."""
        return self._engine.embed(images, more=more, network=network)

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        """Channel distances `(n, z)` of n pairs of one network's features; families not asked for are 0.

        Raises `NotFiniteError` where one is NaN or infinite: that is no distance.
        """
        with self._one_comparison:
            channel_distances = self._engine.compare(targets, candidates, families)
        if channel_distances.shape != (len(targets), self.z_layout.length):
            raise RuntimeError(f"the engine compared {len(targets)} pairs and returned {channel_distances.shape}")
        if not np.isfinite(channel_distances).all():
            raise NotFiniteError
        return channel_distances

    def compare_within(self, target: Any, candidate: Any, mask: Region, families: Families) -> NDArray[np.float32]:
        """Channel distances `(z,)` of one pair within a mask, as `Engine.compare_within` has it.

        Belongs in the thread of `comparing`. Raises `NotFiniteError` as `compare` does.
        """
        with self._one_comparison:
            channel_distances = self._engine.compare_within(target, candidate, mask, families)
        if not np.isfinite(channel_distances).all():
            raise NotFiniteError
        return channel_distances

    def compare_all(self, targets: Sequence[Any], candidates: Sequence[Any], families: Families) -> NDArray[np.float32]:
        """Channel distances `(t, c, z)` of every target with every candidate, as `Engine.compare_all` has it.

        Belongs in the thread of `comparing`. Raises `NotFiniteError` as `compare` does.
        """
        with self._one_comparison:
            channel_distances = self._engine.compare_all(targets, candidates, families)
        if not np.isfinite(channel_distances).all():
            raise NotFiniteError
        return channel_distances

    def adopt(self, features: Sequence[Any]) -> Sequence[Any]:
        """Features of another engine as this one compares them, as `Engine.adopt` has it.

        Belongs in the thread of `comparing`.
        """
        with self._one_comparison:
            return self._engine.adopt(features)

    def locate(
        self, target: Any, candidate: Any, weights: NDArray[np.float32], mask: Region | None = None
    ) -> list[NDArray[np.float32]]:
        """Where a pair differs, as `Engine.locate` has it. Belongs in the thread of `comparing`."""
        with self._one_comparison:
            return self._engine.locate(target, candidate, weights, mask)

    def judge_images(
        self, errors: Sequence[BaseException], *, some_worked: bool, network: str = ALEXNET
    ) -> Sequence[BaseException]:
        """What the waiters of images get on which `embed` failed. Belongs in a thread of `embedding`."""
        return judge_images(errors, partial(self._is_well, network), some_worked=some_worked)

    def judge_pairs(
        self, pairs: Sequence[tuple[Any, Any]], errors: Sequence[BaseException], *, some_worked: bool
    ) -> Sequence[BaseException]:
        """What the waiters of pairs of features get on which `compare` failed. Belongs in the thread of `comparing`."""

        network = pairs[0][0].network

        def is_well() -> bool:
            if self.comparing is self.embedding:
                return self._is_well(network)
            return self.embedding.submit(self._is_well, network).result()

        def compare(target: Any, candidate: Any) -> None:
            self.compare([target], [candidate])

        return judge_pairs(pairs, errors, is_well, compare, some_worked=some_worked)

    async def prepare(self, largest: int, feature_bytes: int | None, relieve: Callable[[], None]) -> tuple[int, float]:
        """`Engine.prepare` for batches of up to `largest` images of the usual size.

        Returns the bytes of features that may be kept, and the seconds that an image of the usual size takes. When the
        engine's memory runs out, `relieve` is called on the event loop, and the engine waits for it.
        """
        loop = asyncio.get_running_loop()

        def relieved() -> None:
            done = threading.Event()
            loop.call_soon_threadsafe(relieve)
            loop.call_soon_threadsafe(done.set)
            done.wait(RELIEF_SECONDS)

        def prepare() -> tuple[int, float]:
            started = time.perf_counter()
            with self.running.work("warm-up", WARM_UP_PATIENCE):
                kept = self._engine.prepare(USUAL_SIDE, largest, feature_bytes)
            took = time.perf_counter() - started
            # An engine that does not measure itself is taken to be as slow as its warm-up, until images come through.
            return kept, getattr(self._engine, "seconds_per_image", 0.0) or took / WARM_UP_IMAGES

        self._engine.on_memory_pressure = relieved
        return await loop.run_in_executor(self.embedding, prepare)

    async def load(self, network: str) -> None:
        """Load a network that else is loaded when it is first used."""

        def work() -> None:
            with self.running.work("warm-up", WARM_UP_PATIENCE):
                self._do_known_images(network)

        await asyncio.get_running_loop().run_in_executor(self.embedding, work)

    def embedded(self, report: BatchReport, network: str = ALEXNET) -> None:
        """Count a batch of images that a network has seen. Belongs on the event loop."""
        busy_seconds = report.ran / self.parallel * self._share()
        self._telemetry.embedded(report, busy_seconds, network)
        self._note(embed_stage(network), report)

    def compared(self, report: BatchReport, stage: str = "compare") -> None:
        """Count a batch of pairs that has run. Belongs on the event loop."""
        busy_seconds = report.ran * self._share() if self.comparing is self.embedding else 0.0
        self._telemetry.compared(report, busy_seconds, stage)
        self._note(stage, report)

    async def prove(self) -> None:
        """Let the engine do known images; `health` notes it where it cannot."""
        try:
            await self._run_small_batch()
        except Exception as error:  # noqa: BLE001  whatever it is, the engine is not well
            log.warning("the engine fails on known images", reason=repr(error))
            self.health.note("compare", failed=True)

    def close(self) -> None:
        """Let the work in hand finish; what waits is dropped."""
        self.health.close()
        self.embedding.shutdown(cancel_futures=True)
        self.comparing.shutdown(cancel_futures=True)
        self.jpeg_thread.shutdown(cancel_futures=True)

    def _note(self, stage: str, report: BatchReport) -> None:
        """Tell the failures of a batch from its inputs' faults, and count both."""
        at_fault = sum(is_at_fault(error) for error in report.errors)
        self._telemetry.failed(stage, inputs=at_fault, service=len(report.errors) - at_fault)
        if len(report.errors) < report.items:
            self.health.note(stage, failed=False)
        elif any(not is_at_fault(error) and not isinstance(error, NOBODYS_FAULT) for error in report.errors):
            self.health.note(stage, failed=True)

    def _is_well(self, network: str) -> bool:
        """Whether the engine does two known images. Belongs in a thread of `embedding`."""
        try:
            self._do_known_images(network)
        except Exception as error:  # noqa: BLE001  whatever it is, the engine is not well
            log.warning("the engine fails on known images", reason=repr(error))
            return False
        return True

    def _do_known_images(self, network: str = ALEXNET) -> None:
        target, candidate = self.embed(known_images(), network=network)
        self.compare([target], [candidate])

    async def _run_small_batch(self) -> None:
        """Embed and compare two known images. Raises what the engine raises."""

        def work() -> None:
            with self.running.work("probe"):
                self._do_known_images()

        await asyncio.get_running_loop().run_in_executor(self.embedding, work)
