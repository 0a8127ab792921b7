"""Opens what an image needs on its way, as the settings ask for it: a decoder, engines, and threads for them."""

import os
from collections.abc import Sequence

import structlog

from clpips.models.engines.contract import Engine, EngineError, JpegDecoder
from clpips.models.engines.cores import core_count
from clpips.models.engines.devices import devices_of, open_all
from clpips.models.engines.opening import open_engine, open_jpeg_decoder
from clpips.models.metric.backbone_file import require_content
from clpips.service.admission.headroom import Headroom
from clpips.service.batching.running import Running
from clpips.service.decoding.limits import DecoderLimits
from clpips.service.decoding.processes import DecoderProcesses
from clpips.service.ops.memory import container_memory, held_by_container, held_by_processes
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.decoder import SPARE_PROCESSES, Decoder
from clpips.service.scoring.lanes.engine_threads import EngineThreads
from clpips.service.settings import Settings

log = structlog.get_logger()


def open_engines(settings: Settings) -> list[Engine]:
    """The engines that the settings ask for, one for each device. CPUs share the cores, and how they convolve.

    The content network's file is looked at now, though nobody may ever ask for it: found damaged by the first request
    that does, it would make a sound engine fail, and in the end take the service away from those who do not use it.
    """
    if settings.content:
        require_content()
    devices = devices_of(settings.device)
    convolution, threads = settings.convolution, settings.threads
    if len(devices) > 1 and devices[0] == "cpu":
        threads = max((threads or core_count()) // len(devices), 1)

    def open_one(device: str) -> Engine:
        nonlocal convolution
        one = open_engine(
            settings.engine,
            device,
            settings.precision,
            settings.backbone,
            threads,
            convolution=convolution,
            fallback=settings.engine_fallback and len(devices) == 1,
        )
        if device == "cpu":  # measured once: the next one must not come to another choice
            convolution = one.convolution
        return one

    if len(devices) == 1:
        return [open_one(devices[0])]
    try:
        return open_all(open_one, devices, fallback=settings.engine_fallback)
    except EngineError:
        if not settings.engine_fallback or devices[0] == "cpu":
            raise
    return [open_one("cpu")]


def open_threads(
    settings: Settings, engines: Sequence[Engine], jpegs: JpegDecoder | None, telemetry: Telemetry, running: Running
) -> list[EngineThreads]:
    """The threads of each engine; with `jpegs`, or its own decoder, where the settings have the device decode."""

    def share() -> float:
        return 1 / max(sum(not one.health.failing for one in devices), 1)

    devices = [
        EngineThreads(one, telemetry, settings.max_engine_failures, running, _open_jpegs(settings, one, jpegs), share)
        for one in engines
    ]
    return devices


def open_headroom(settings: Settings) -> Headroom:
    """What is left of the memory that the settings name, or the container has."""
    if settings.memory_bytes is not None:
        return Headroom(settings.memory_bytes, held_by_processes)
    container = container_memory()
    return Headroom() if container is None else Headroom(container.limit, held_by_container)


def open_decoder(settings: Settings, headroom: Headroom) -> Decoder:
    """The decoder of the host; what needs much memory waits for `headroom`."""
    return Decoder(settings.decode_threads or core_count(), _open_processes(settings, headroom))


def _open_processes(settings: Settings, headroom: Headroom) -> DecoderProcesses | None:
    """The processes that the settings ask for; None where there are to be none, or the system cannot fork."""
    count = core_count() + SPARE_PROCESSES if settings.decode_processes is None else settings.decode_processes
    if count and not hasattr(os, "fork"):
        log.warning("this system cannot fork: images are decoded in threads, which nothing ends")
        return None
    limits = DecoderLimits(settings.decode_bytes, settings.decode_seconds)
    capacity = max(settings.max_body_bytes, 3 * settings.max_pixels, 3 * settings.max_resolution**2)
    return DecoderProcesses(count, limits, capacity, headroom.taking) if count else None


def _open_jpegs(settings: Settings, engine: Engine, jpegs: JpegDecoder | None) -> JpegDecoder | None:
    """The decoder that the settings ask for: None for the host's, else `jpegs` or the engine's own."""
    if settings.jpeg_decoder == "host":
        return None
    if jpegs is not None:
        return jpegs
    try:
        return open_jpeg_decoder(engine)
    except EngineError as error:
        if not settings.engine_fallback:
            raise EngineError(f"CLPIPS_JPEG_DECODER=device: {error} (CLPIPS_JPEG_DECODER=host)") from error
        log.warning("JPEGs are decoded on the host", reason=str(error))
        return None
