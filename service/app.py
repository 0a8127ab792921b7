"""`create_app` wires the parts together and owns their lifetimes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec
import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from clpips.models.engines.contract import Engine, EngineError, JpegDecoder
from clpips.models.engines.cores import core_count
from clpips.models.engines.opening import open_engine, open_jpeg_decoder
from clpips.models.images.png import png_decoder
from clpips.service.admission.access import Access
from clpips.service.admission.door import Door
from clpips.service.admission.throughput import Pace
from clpips.service.openapi.page import openapi_config
from clpips.service.ops.logs import RequestLog
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import EXCEPTION_HANDLERS
from clpips.service.profiles.comparisons import Comparisons
from clpips.service.profiles.registry import Registry
from clpips.service.routes.exchange import EXCHANGE_ROUTES
from clpips.service.routes.health import Readiness, healthz, metrics, readyz
from clpips.service.routes.profiles import PROFILE_ROUTES
from clpips.service.routes.scoring import Reception, distance, rank
from clpips.service.scoring.pipeline import Pipeline
from clpips.service.scoring.scorer import Profiles, Scorer, describe_engine
from clpips.service.scoring.threads import Decoder, EngineThreads
from clpips.service.settings import Settings
from clpips.service.storage.comparisons import ComparisonStore
from clpips.service.storage.database import Database
from clpips.service.storage.profiles import Limits as StorageLimits
from clpips.service.storage.profiles import ProfileStore
from clpips.service.teaching.fit_processes import FitWorkers
from clpips.service.teaching.learner import Learner
from clpips.service.teaching.operations import Teaching
from clpips.service.wire.schemas import Limits

T = TypeVar("T")

FIT_WORKERS: Final = 2  # so that a profile of many rankings does not make the others wait

log = structlog.get_logger()


def create_app(settings: Settings, engine: Engine | None = None) -> Litestar:
    """The service as an ASGI app. An engine handed in stays the caller's to close; one opened here is closed here.

    Raises `EngineError`, `BackboneError` or `WeightsError` where the engine or the weights cannot be used, and
    `SettingsError` or `StorageError` where API keys or the database's URL are not as they should be.
    """
    opened = None
    if engine is None:
        engine = opened = open_engine(
            settings.engine,
            settings.device,
            settings.precision,
            settings.backbone,
            settings.threads,
            fallback=settings.engine_fallback,
        )
    shipped = Profiles.shipped(engine.fingerprint)
    described = describe_engine(engine)
    access = Access.from_settings(settings)
    telemetry = Telemetry()
    telemetry.describe(engine)
    pace = Pace()
    door = Door(settings.max_queue, settings.request_seconds, pace, telemetry)
    decoder = Decoder(settings.decode_threads or core_count(), _jpeg_decoder(settings, engine))
    engine_threads = EngineThreads(engine, telemetry, settings.max_engine_failures)
    readiness = Readiness(engine_threads, door)
    limits = Limits(settings.max_body_bytes, settings.max_images, settings.max_resolution)
    pipeline = Pipeline(
        decoder,
        engine_threads,
        pace,
        telemetry,
        max_batch=settings.max_batch or engine.batch,
        max_delay=settings.max_delay_ms / 1000,
        max_queue=max(settings.max_queue, settings.max_images),  # a lone request always finds room
        max_pixels=settings.max_pixels,
        cache_bytes=settings.feature_cache_bytes,
    )
    scorer = Scorer(
        pipeline,
        door,
        shipped.base,
        engine=described,
        max_pixels=settings.max_pixels,
        max_scored_pixels=settings.max_scored_pixels,
    )

    database = Database(settings.database_url)
    store = ProfileStore(database, StorageLimits(settings.max_profiles, settings.max_rankings))
    registry = Registry(
        shipped, store, engine.fingerprint, settings.profile_refresh_seconds, settings.profile_cache, telemetry
    )
    comparisons = Comparisons(
        settings.comparison_ttl,
        settings.comparison_bytes,
        None if database.is_sqlite else ComparisonStore(database),  # replicas share PostgreSQL alone
    )
    fit_workers = FitWorkers(FIT_WORKERS, settings.database_url)
    learner = Learner(store, registry, fit_workers, telemetry)
    teaching = Teaching(store, registry, learner, comparisons, scorer, engine.fingerprint)

    @asynccontextmanager
    async def lifetime(_: Litestar) -> AsyncIterator[None]:
        try:
            await database.prepare()
            await pipeline.warm_up()
            readiness.warm = True
            catching_up = asyncio.create_task(learner.catch_up(engine.fingerprint))
            if access.is_open:
                log.warning("open: there are no API keys, whoever reaches this service may do everything")
            log.info(
                "engine ready",
                **msgspec.structs.asdict(described),
                weights=shipped.names(),
                jpegs="device" if decoder.jpegs is not None else "host",
                pngs=png_decoder(),
            )
            yield
            catching_up.cancel()
            await asyncio.wait([catching_up])
        finally:
            door.closed = True
            await pipeline.close()
            decoder.close()
            engine_threads.close()
            await fit_workers.close()
            await database.close()
            if opened is not None:
                opened.close()

    telemetry.ready.set_function(lambda: float(readiness.reason is None))
    app = Litestar(
        route_handlers=[rank, distance, *PROFILE_ROUTES, *EXCHANGE_ROUTES, healthz, readyz, metrics],
        state=State({"access": access}),
        dependencies={
            name: Provide(_constant(part), sync_to_thread=False)
            for name, part in {
                "reception": Reception(door, limits, telemetry),
                "scorer": scorer,
                "limits": limits,
                "readiness": readiness,
                "telemetry": telemetry,
                "registry": registry,
                "comparisons": comparisons,
                "teaching": teaching,
            }.items()
        },
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[telemetry.http_config().middleware],
        lifespan=[lifetime],
        logging_config=None,  # `serve` configures logs; an app in a test leaves them alone
        openapi_config=openapi_config(),
    )
    app.asgi_handler = RequestLog(app.asgi_handler)
    app.state.door, app.state.engine_threads = door, engine_threads  # for the server: when to stop
    return app


def _jpeg_decoder(settings: Settings, engine: Engine) -> JpegDecoder | None:
    if settings.jpeg_decoder == "host":
        return None
    try:
        return open_jpeg_decoder(engine)
    except EngineError as error:
        if not settings.engine_fallback:
            raise EngineError(f"CLPIPS_JPEG_DECODER=device: {error} (CLPIPS_JPEG_DECODER=host)") from error
        log.warning("JPEGs are decoded on the host", reason=str(error))
        return None


def _constant(part: T) -> Callable[[], T]:
    return lambda: part
