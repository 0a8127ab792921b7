"""Composition root: `create_app` wires the parts together and owns their lifetimes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
import structlog
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from clpips.models.engines.contract import Engine, JpegDecoder
from clpips.models.images.png import png_decoder
from clpips.models.metric.families import ALL_NETWORKS, CONTENT
from clpips.service.admission.access import Access
from clpips.service.admission.binding import is_reachable
from clpips.service.admission.door import Door
from clpips.service.admission.gate import Gate
from clpips.service.admission.hosts import Hosts
from clpips.service.admission.origins import Origins
from clpips.service.admission.reception import Reception
from clpips.service.admission.room import Need, Room
from clpips.service.admission.rotation import follow_keys
from clpips.service.admission.shedding import Shedder
from clpips.service.admission.throughput import Throughput
from clpips.service.batching.running import Running
from clpips.service.openapi.page import openapi_config
from clpips.service.ops.http_metrics import http_config
from clpips.service.ops.logs import RequestLog
from clpips.service.ops.memory import release_freed
from clpips.service.ops.telemetry import Telemetry
from clpips.service.ops.tracer import open_tracer
from clpips.service.ops.traces import Traced, past_span
from clpips.service.pages.files import Pages
from clpips.service.profiles.comparisons import RecentComparisons
from clpips.service.profiles.named_weights import ShippedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.routes.answers import EXCEPTION_HANDLERS
from clpips.service.routes.exchange import EXCHANGE_ROUTES
from clpips.service.routes.health import healthz, metrics, readyz
from clpips.service.routes.heatmaps import heatmap
from clpips.service.routes.matrices import matrix
from clpips.service.routes.profiles import PROFILE_ROUTES
from clpips.service.routes.rankings import RANKING_ROUTES
from clpips.service.routes.root import root
from clpips.service.routes.scoring import distance, rank
from clpips.service.routes.session_access import session_of
from clpips.service.routes.session_heatmaps import get_session_heatmap
from clpips.service.routes.sessions import SESSION_ROUTES
from clpips.service.routes.studio import STUDIO_ROUTES
from clpips.service.scoring.comparer import Comparer
from clpips.service.scoring.heatmaps import Heatmaps
from clpips.service.scoring.lanes.engine_health import HealthOfAll
from clpips.service.scoring.matrices import Matrices
from clpips.service.scoring.opening import open_decoder, open_engines, open_headroom, open_threads
from clpips.service.scoring.pipeline import Pipeline
from clpips.service.scoring.readiness import Readiness
from clpips.service.scoring.scorer import Scorer, describe_engine
from clpips.service.scoring.thumbnails import ThumbnailMaker
from clpips.service.sessions.heatmaps import SessionHeatmaps
from clpips.service.sessions.held import HeldSessions
from clpips.service.sessions.operations import Sessions
from clpips.service.sessions.orders import SessionOrders
from clpips.service.sessions.streams import Streams
from clpips.service.sessions.thumbnails import Thumbnails
from clpips.service.settings import Settings
from clpips.service.storage.comparisons import ComparisonStore
from clpips.service.storage.database import Database
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import TenantQuota
from clpips.service.storage.sessions import SessionStore
from clpips.service.teaching.exchange import Exchange
from clpips.service.teaching.fit_processes import FitWorkers
from clpips.service.teaching.judging import Judging
from clpips.service.teaching.learner import Learner
from clpips.service.teaching.operations import Teaching
from clpips.service.teaching.scheduling import NICENESS
from clpips.service.wire.query import check_parameters
from clpips.service.wire.schemas import Limits

T = TypeVar("T")

SCORING_PATHS: Final = rank.paths | distance.paths | heatmap.paths | matrix.paths
FIT_WORKERS: Final = 2  # while one fits a profile of many rankings, the other profiles do not wait

log = structlog.get_logger()


def create_app(
    settings: Settings,
    engine: Engine | Sequence[Engine] | None = None,
    jpegs: JpegDecoder | None = None,
    *,
    fit_niceness: int = NICENESS,
    tracer: Any = None,
) -> Litestar:
    """The service as an ASGI app. Engines handed in stay the caller's to close; those opened here are closed here.

    Several engines are of one kind, one for each device. `tracer` is OpenTelemetry's; without one it is what the
    settings ask for. `jpegs` is the decoder for `jpeg_decoder="device"`; without one the engines' own are opened. The
    processes that fit run at `fit_niceness`.

    Raises `EngineError`, `BackboneError` or `WeightsError` where the engine or the weights cannot be used, and
    `SettingsError` or `StorageError` where API keys or the database's URL are not as they should be.
    """

    def observe_database(operation: str, seconds: float) -> None:
        telemetry.db_seconds.labels(operation).observe(seconds)
        now = asyncio.get_running_loop().time()
        past_span("database", now - seconds, now, operation=operation)

    database = Database(settings.database_url, observe_database)
    database.require_usable()
    access = Access.from_settings(settings)
    hosts = Hosts.from_settings(settings, guarded=not access.is_open and is_reachable(settings.host))
    origins = Origins.from_settings(settings)
    opened: list[Engine] = []
    if engine is None:
        engines = opened = open_engines(settings)
    else:
        engines = list(engine) if isinstance(engine, Sequence) else [engine]
    engine = engines[0]
    networks = ALL_NETWORKS if settings.content else ALL_NETWORKS - {CONTENT}
    shipped = ShippedWeights.load(engine.fingerprint, engine.net.name)
    described = describe_engine(engines)
    telemetry = Telemetry()
    telemetry.describe(described.name, described.device, described.convolution, described.backbone)
    throughput = Throughput()
    door = Door(settings.max_queue, throughput, telemetry, settings.inflight_body_bytes)
    headroom = open_headroom(settings)
    decoder = open_decoder(settings, headroom)
    running = Running()
    devices = open_threads(settings, engines, jpegs, telemetry, running)
    health = HealthOfAll([one.health for one in devices])
    readiness = Readiness(health, door, running, settings.stall_seconds)
    limits = Limits(settings.max_body_bytes, settings.max_images, settings.max_resolution)
    pipeline = Pipeline(
        decoder,
        devices,
        throughput,
        telemetry,
        max_batch=settings.max_batch or engine.batch,
        max_delay=settings.max_delay_ms / 1000,
        max_queue=max(settings.max_queue, settings.max_images),  # the door admits a lone request of any size
        max_pixels=settings.max_pixels,
        cache_bytes=settings.feature_cache_bytes,
        networks=networks,
        headroom=headroom,
    )
    room = Room(Need(settings.inflight_pixel_bytes, 0), telemetry)
    comparer = Comparer(pipeline, access, door, room, telemetry, settings.max_pixels, settings.max_scored_pixels)

    store = ProfileStore(database, TenantQuota(settings.max_profiles, settings.max_rankings))
    registry = Registry(
        shipped,
        store,
        engine.fingerprint,
        settings.profile_refresh_seconds,
        settings.profile_cache,
        telemetry,
        networks=networks,
    )
    # Replicas share PostgreSQL alone.
    shared = None if database.is_sqlite else ComparisonStore(database, settings.comparison_ttl)
    comparisons = RecentComparisons(settings.comparison_ttl, settings.comparison_bytes, shared)
    fit_workers = FitWorkers(FIT_WORKERS, settings.database_url, fit_niceness, headroom=headroom)
    learner = Learner(store, registry, fit_workers, telemetry)
    scorer = Scorer(comparer, registry, comparisons, described, expect_ranking=fit_workers.expect)
    heatmaps = Heatmaps(comparer, registry)
    teaching = Teaching(store, registry, learner, fit_workers)
    judging = Judging(store, registry, learner, comparisons, comparer, telemetry)
    session_store = SessionStore(database, settings.max_sessions, settings.session_candidates)
    streams = Streams(session_store, settings.session_streams, lambda: door.closed)
    thumbnails = Thumbnails(settings.session_ttl, settings.session_thumbnail_bytes)
    held_sessions = HeldSessions(session_store)
    sessions = Sessions(
        session_store,
        held_sessions,
        registry,
        comparer,
        ThumbnailMaker(decoder, settings.max_pixels),
        thumbnails,
        streams,
        settings.session_ttl,
    )
    session_orders = SessionOrders(sessions, session_store, held_sessions, registry, judging, streams)

    @asynccontextmanager
    async def lifetime(_: Litestar) -> AsyncIterator[None]:
        try:
            await database.prepare()
            # While the engine computes for the first time.
            decoders = asyncio.create_task(asyncio.to_thread(decoder.start))
            lent_bytes = await pipeline.warm_up(settings.inflight_feature_bytes)
            await decoders
            room.most = Need(settings.inflight_pixel_bytes, lent_bytes)
            if settings.content and await store.any_uses_content():
                await pipeline.load(networks)
            readiness.warm = True
            chores = [
                asyncio.create_task(follow_keys(settings, access)),
                asyncio.create_task(learner.keep_up(engine.fingerprint)),
                asyncio.create_task(sessions.keep_house()),
                asyncio.create_task(headroom.watch(pipeline.forget, release_freed)),
            ]
            if access.is_open:
                log.warning("open: there are no API keys, whoever reaches this service may do everything")
            log.info(
                "engine ready",
                **msgspec.structs.asdict(described),
                weights=shipped.names(),
                jpegs="device" if devices[0].jpegs is not None else "host",
                pngs=png_decoder(),
            )
            yield
            for chore in chores:
                chore.cancel()
            await asyncio.wait(chores)
        finally:
            door.closed = True
            await streams.close()
            if decoder.processes is not None:
                await asyncio.to_thread(decoder.processes.close)  # what they decode, nobody waits for any more
            await pipeline.close()
            decoder.close()
            for one in devices:
                one.close()
            await fit_workers.close()
            await database.close()
            for closing in opened:
                closing.close()

    if settings.key_metrics:
        access.used = lambda name: telemetry.key_last_used.labels(name).set_to_current_time()
    telemetry.sessions.set_function(lambda: sessions.count)
    telemetry.session_streams.set_function(streams.__len__)
    telemetry.session_thumbnail_bytes.set_function(lambda: thumbnails.nbytes)
    telemetry.db_up.set_function(lambda: float(database.breaker.is_up))
    telemetry.ready.set_function(lambda: float(readiness.reason is None))
    app = Litestar(
        route_handlers=[
            root,
            *(rank, distance, heatmap, matrix),
            *PROFILE_ROUTES,
            *RANKING_ROUTES,
            *EXCHANGE_ROUTES,
            *SESSION_ROUTES,
            get_session_heatmap,
            *STUDIO_ROUTES,
            healthz,
            readyz,
            metrics,
        ],
        state=State({"access": access, "sessions": held_sessions}),
        dependencies={"session": Provide(session_of, sync_to_thread=False)}
        | {
            name: Provide(_constant(part), sync_to_thread=False)
            for name, part in {
                "reception": Reception(door, limits, settings.request_seconds, telemetry, headroom),
                "scorer": scorer,
                "heatmaps": heatmaps,
                "matrices": Matrices(comparer, registry, described),
                "limits": limits,
                "readiness": readiness,
                "telemetry": telemetry,
                "teaching": teaching,
                "judging": judging,
                "exchange": Exchange(store, registry),
                "sessions": sessions,
                "session_orders": session_orders,
                "session_heatmaps": SessionHeatmaps(sessions, held_sessions, heatmaps),
                "streams": streams,
                "pages": Pages.load(),
            }.items()
        },
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=check_parameters,
        middleware=[http_config(telemetry).middleware],
        lifespan=[lifetime],
        logging_config=None,  # `serve` configures logs; an app in a test leaves them alone
        openapi_config=openapi_config(),
    )
    if tracer is None and settings.tracing:
        tracer = open_tracer()
    shedder = Shedder(door, settings.request_seconds, telemetry, SCORING_PATHS)
    app.asgi_handler = Traced(RequestLog(Gate(app.asgi_handler, hosts, origins, telemetry, shedder)), tracer)
    # For the server: when to stop.
    app.state.together_pixels = comparer.together_pixels  # for a client in this process
    app.state.door, app.state.engine_health, app.state.running = door, health, running
    return app


def _constant(part: T) -> Callable[[], T]:
    return lambda: part
