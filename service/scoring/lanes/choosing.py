"""Least-loaded dispatch: an image goes to the lane with the least work, a pair to where its target's features lie.

A lane whose engine fails is out, until the engine runs again or for good: what ran there is tried on another one, and
features that lay in its own memory are forgotten, to be made anew. One lane alone fails as its engine does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from clpips.models.images.errors import ImageError
from clpips.models.metric.families import ALEXNET, Networks
from clpips.service.batching.errors import BatcherError
from clpips.service.batching.feature_cache import Flight
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.errors import FeaturesLostError, NotHeldError
from clpips.service.scoring.lanes.device_jpegs import Decoded, Undecoded
from clpips.service.scoring.lanes.lane import Lane, Placed
from clpips.service.scoring.lanes.verdicts import EngineRefusedImage, EngineRefusedPair

NO_FAULT_OF_A_DEVICE = (BatcherError, EngineRefusedImage, EngineRefusedPair, ImageError, MemoryError, NotHeldError)

ResultT = TypeVar("ResultT")

log = structlog.get_logger()


class Lanes:
    """All lanes. For the event loop."""

    def __init__(self, lanes: Sequence[Lane], forget: Callable[[Hashable], None], telemetry: Telemetry) -> None:
        """`forget` is called for a memory whose device fails, while other lanes are left."""
        self._lanes = lanes
        self._forget = forget
        self._proofs: dict[Lane, asyncio.Task[None]] = {}
        for number, lane in enumerate(lanes):
            lane.engine.health.fell = partial(self._fell, lane)
            up = telemetry.engine_up.labels(str(number), lane.engine.device)
            up.set_function(partial(_is_up, lane))
        for stage in lanes[0].queues:
            telemetry.queue_items.labels(stage).set_function(partial(self._waiting, stage))
            running = partial(lanes[0].engine.running.oldest, stage)
            telemetry.batch_running_seconds.labels(stage).set_function(running)

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def decode_jpegs(self) -> bool:
        """Whether the devices decode JPEGs."""
        return self._lanes[0].engine.jpegs is not None

    async def prepare(
        self, largest: int, feature_bytes: int | None, relieve: Callable[[Lane], None]
    ) -> dict[Hashable, int]:
        """Let each engine prepare itself, one after the other: cards share the process's compiler and allocator.

        Returns the bytes of features that each memory may keep. An engine that fails is out where another one does.
        Raises what the last one raises where none does.
        """
        kept: dict[Hashable, int] = {}
        for lane in self._lanes:
            try:
                nbytes, lane.seconds_per_unit = await lane.engine.prepare(
                    largest, feature_bytes, partial(relieve, lane)
                )
            except Exception as error:
                lane.engine.health.lose()
                if all(one.engine.health.dead for one in self._lanes):
                    raise
                log.exception("a device fails its warm-up", device=lane.engine.device, exc_info=error)
                continue
            kept[lane.memory] = max(nbytes, kept.get(lane.memory, 0))
        return kept

    @property
    def seconds_per_unit(self) -> float:
        """The pace of all lanes together, as their warm-ups measured it."""
        paces = [1 / lane.seconds_per_unit for lane in self._lanes if lane.seconds_per_unit]
        return 1 / sum(paces) if paces else 0.0

    async def load(self, networks: Networks) -> None:
        """Load these networks everywhere, which else are loaded when they are first used."""
        for lane in self._working():
            for network in networks - {ALEXNET}:
                await lane.engine.load(network)

    async def on_one(self, work: Callable[[Lane], Awaitable[ResultT]], lane: Lane | None = None) -> ResultT:
        """What `work` gives on the lane with the least to do, or on another one where that one's device fails.

        With `lane` it is done there: `FeaturesLostError` is raised where that device fails, and others are left.
        Raises what `work` raises.
        """
        tried: list[Lane] = []
        while True:
            chosen = self._least_busy(tried) if lane is None else self._require(lane)
            try:
                return await work(chosen)
            except NO_FAULT_OF_A_DEVICE:
                raise
            except Exception as error:
                tried.append(chosen)
                if not self._working(tried):
                    raise
                if lane is not None:
                    raise FeaturesLostError("pixels lie on a device that fails") from error

    async def decode_jpeg(self, undecoded: Undecoded, flight: Flight[Any]) -> Decoded | None:
        """The pixels of a JPEG from one of the devices; None where it leaves the file to the host."""
        return await self.on_one(lambda lane: lane.decode(undecoded, flight))

    async def at_home(
        self, target: Placed, others: Sequence[Placed], work: Callable[[Lane], Awaitable[ResultT]]
    ) -> ResultT:
        """What `work` gives on the lane where the target's features lie, to which the others' are then copied.

        Features in main memory are at home on every lane. Raises `FeaturesLostError` where some lie on a device that
        fails, and what `work` raises.
        """
        tried: list[Lane] = []
        while True:
            for one in others:
                self._require_features(one)
            lane = self._home(target, tried)
            try:
                return await work(lane)
            except NO_FAULT_OF_A_DEVICE:
                raise
            except FeaturesLostError:  # as they were copied: one of the devices is to blame
                await asyncio.gather(*map(self._prove, {lane, *(one.lane for one in others)}))
                raise
            except Exception:
                tried.append(lane)
                if not self._working(tried):
                    raise

    async def close(self) -> None:
        """Let what runs end; fail what waits."""
        for lane in self._lanes:
            for queue in lane.queues.values():
                await queue.close()

    def _waiting(self, stage: str) -> int:
        return sum(len(lane.queues[stage]) for lane in self._lanes)

    def _working(self, without: Sequence[Lane] = ()) -> list[Lane]:
        return [lane for lane in self._lanes if not lane.engine.health.failing and lane not in without]

    def _least_busy(self, tried: Sequence[Lane]) -> Lane:
        """The lane whose images will be done first; of those that are alike, the one where the least lies.

        A lane whose memory is lent out is the last. Where none works, it is one that may come back.
        """
        if len(self._lanes) == 1:
            return self._lanes[0]
        lanes = self._working(tried) or [lane for lane in self._lanes if not lane.engine.health.dead] or self._lanes
        return min(lanes, key=lambda lane: (lane.is_lent_out, lane.cost * lane.seconds_per_unit, lane.shelf.nbytes))

    def _home(self, target: Placed, tried: Sequence[Lane]) -> Lane:
        home = target.lane
        if len(self._lanes) == 1 or (home not in tried and not home.engine.health.failing):
            return home
        self._require_features(target)
        return self._least_busy(tried)

    def _require(self, lane: Lane) -> Lane:
        if lane.engine.health.failing and self._working():
            raise FeaturesLostError("pixels lie on a device that fails")
        return lane

    def _require_features(self, placed: Placed) -> None:
        lane = placed.lane
        if lane.memory is not None and lane.engine.health.failing and self._working():
            raise FeaturesLostError("features lie on a device that fails")

    async def _prove(self, lane: Lane) -> None:
        """Let a lane's engine do known images, once for all who ask; its health notes it where it cannot."""
        if lane.engine.health.failing:
            return
        if lane not in self._proofs:
            self._proofs[lane] = asyncio.create_task(lane.engine.prove())
            self._proofs[lane].add_done_callback(lambda _: self._proofs.pop(lane))
        await asyncio.shield(self._proofs[lane])

    def _fell(self, lane: Lane) -> None:
        """A lane's engine has begun to fail."""
        if len(self._lanes) == 1:
            return
        log.error("a device fails: its images go to others", device=lane.engine.device, left=len(self._working()))
        if lane.memory is not None:
            self._forget(lane.memory)


def _is_up(lane: Lane) -> float:
    return float(not lane.engine.health.failing)
