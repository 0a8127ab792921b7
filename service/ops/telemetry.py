"""Every Prometheus metric of the service, declared once. No label holds a profile, a key or a path parameter."""

from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from clpips import __version__
from clpips.models.metric.families import ALEXNET, NETWORKS
from clpips.service.batching.batch import BatchReport
from clpips.service.batching.feature_cache import Source
from clpips.service.ops.memory import MemoryCollector

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SIZES: Final = tuple(2.0**power for power in range(11))
REJECTIONS: Final = (
    "queue_full",
    "bytes_full",
    "deadline",
    "expired",
    "client_gone",
    "slow_client",
    "stopping",
    "host",
    "origin",
)
PAIR_SOURCES: Final = ("compared", "recent")
INFLIGHT: Final = ("body", "pixels", "features")
HTTP_LABELS: Final = ("method", "path", "status_code", "app_name")  # as Litestar's plugin fills them in


def embed_stage(network: str) -> str:
    """The value of the label `stage` of a network's batches.

    >>> embed_stage("alexnet"), embed_stage("efficientnet-lite0")
    ('embed', 'embed_content')
    """
    return "embed" if network == ALEXNET else "embed_content"


class Telemetry:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(MemoryCollector())
        self.stage_seconds = Histogram(
            "clpips_stage_seconds",
            "Time of one unit of work: wait in a queue, decode (and resize) one image or (`jpeg`) a batch on the "
            "device, embed or compare one batch, locate the differences of one pair",
            ["stage"],
            registry=registry,
            buckets=SECONDS,
        )
        self.engine_busy_seconds = Counter(
            "clpips_engine_busy_seconds_total",
            "Busy time of the engine: seconds in which its embedding threads computed, divided by their number, so "
            "that its rate is the engine's utilisation, from 0 to 1",
            registry=registry,
        )
        self.images = Counter(
            "clpips_images_total", "Distinct images of requests, by where they came from", ["source"], registry=registry
        )
        self.pairs = Counter(
            "clpips_pairs_total",
            "Pairs of requests: the engine compared them, or they had been compared lately",
            ["source"],
            registry=registry,
        )
        self.fit_seconds = Histogram(
            "clpips_fit_seconds", "Time of one fit of a profile", registry=registry, buckets=SECONDS
        )
        self.fits = Counter(
            "clpips_fits_total",
            "Fits of profiles: their version was taken into use or only proposed, none came, another replica was "
            "first, or the fit failed",
            ["outcome"],
            registry=registry,
        )
        self.taught = Counter(
            "clpips_taught_total",
            "Rankings that profiles were taught: a version that learned from it was taken into use or only proposed, "
            "none came, or the ranking is kept and its fit postponed or failed",
            ["outcome"],
            registry=registry,
        )
        self.profile_lookups = Counter(
            "clpips_profile_lookups_total",
            "Personal profiles that requests named: in memory, unchanged in the database, or loaded from it",
            ["result"],
            registry=registry,
        )
        self.queue_items = Gauge(
            "clpips_queue_items",
            "Items that wait for a stage: images, or pairs to compare",
            ["stage"],
            registry=registry,
        )
        self.batch_items = Histogram(
            "clpips_batch_items",
            "Items in a batch of the engine or its device",
            ["stage"],
            registry=registry,
            buckets=BATCH_SIZES,
        )
        self.inflight_bytes = Gauge(
            "clpips_inflight_bytes",
            "What requests in hand take, as admission counts it: bytes of bodies that have come, of pixels that are "
            "not embedded yet, of features that are not compared yet",
            ["kind"],
            registry=registry,
        )
        self.feature_cache_bytes = Gauge(
            "clpips_feature_cache_bytes", "Features held, by what the engine says they cost", registry=registry
        )
        self.rejected = Counter(
            "clpips_rejected_total", "Requests that were given up, by reason", ["reason"], registry=registry
        )
        self.batch_running_seconds = Gauge(
            "clpips_batch_running_seconds",
            "Age of the oldest running batch of a stage; 0 while none runs",
            ["stage"],
            registry=registry,
        )
        self.engine_failures = Counter(
            "clpips_engine_failures_total",
            "Batches of which the engine did not do a single item, and failed on known images too",
            ["stage"],
            registry=registry,
        )
        self.engine_up = Gauge(
            "clpips_engine_up",
            "1 while the engine of a device works; 0 while it fails, and from its loss on",
            ["lane", "device"],
            registry=registry,
        )
        self.failures = Counter(
            "clpips_failures_total",
            "Items that a stage failed at, by what is at fault: the input (a file that cannot be read, an image that "
            "makes a sound engine fail) or the service",
            ["stage", "fault"],
            registry=registry,
        )
        self.quarantined = Gauge(
            "clpips_quarantined_images",
            "Images that made a sound engine fail and are not tried again for a while",
            registry=registry,
        )
        self.db_seconds = Histogram(
            "clpips_db_seconds",
            "Time of one operation on the database, the wait for a connection or a lock included",
            ["operation"],
            registry=registry,
            buckets=SECONDS,
        )
        self.db_up = Gauge(
            "clpips_db_up", "1 while the database answers, as far as is known; else 0", registry=registry
        )
        self.sessions = Gauge(
            "clpips_sessions",
            "Refinement sessions in the database that have not expired, as last counted; replicas on one database "
            "tell the same",
            registry=registry,
        )
        self.session_streams = Gauge(
            "clpips_session_streams", "Event streams by which sessions are watched here", registry=registry
        )
        self.session_thumbnail_bytes = Gauge(
            "clpips_session_thumbnail_bytes", "Thumbnails of sessions' images held", registry=registry
        )
        self.key_last_used = Gauge(
            "clpips_key_last_used_timestamp_seconds",
            "When each API key last opened, in Unix time; only if CLPIPS_KEY_METRICS asks for it",
            ["key"],
            registry=registry,
        )
        self.ready = Gauge("clpips_ready", "1 when requests are welcome, as /readyz says; else 0", registry=registry)
        self.build = Info("clpips_build", "What this process runs", registry=registry)
        self.http_requests = Counter("litestar_requests_total", "Requests", HTTP_LABELS, registry=registry)
        self.http_errors = Counter(
            "litestar_requests_error_total", "Requests answered with 500 or above", HTTP_LABELS, registry=registry
        )
        self.http_seconds = Histogram(
            "litestar_request_duration_seconds",
            "Time from a request's head to its answer",
            HTTP_LABELS,
            registry=registry,
            buckets=SECONDS,
        )
        self.http_in_progress = Gauge(
            "litestar_requests_in_progress", "Requests that are being answered", HTTP_LABELS, registry=registry
        )
        embedding = [embed_stage(network) for network in NETWORKS]
        for stage in ("queue", "decode", *embedding, "compare", "mask", "locate", "matrix"):
            self.stage_seconds.labels(stage)
        for source in PAIR_SOURCES:
            self.pairs.labels(source)
        for outcome in ("taken", "proposed", "none", "overtaken", "failed"):
            self.fits.labels(outcome)
        for outcome in ("taken", "proposed", "none", "postponed", "failed"):
            self.taught.labels(outcome)
        for result in ("hit", "refreshed", "loaded"):
            self.profile_lookups.labels(result)
        for stage in (*embedding, "compare", "mask", "locate", "matrix"):
            self.batch_items.labels(stage)
            self.engine_failures.labels(stage)
        for stage in ("decode", *embedding, "compare", "mask", "locate", "matrix"):
            self.batch_running_seconds.labels(stage)
            for fault in ("input", "service"):
                self.failures.labels(stage, fault)
        for source in get_args(Source):
            self.images.labels(source)
        for reason in REJECTIONS:
            self.rejected.labels(reason)
        for kind in INFLIGHT:
            self.inflight_bytes.labels(kind)

    def describe(self, engine: str, device: str, convolution: str, backbone: str) -> None:
        """Say what runs, on which devices: `clpips_build_info`."""
        self.build.info(
            {
                "version": __version__,
                "engine": engine,
                "device": device,
                "convolution": convolution,
                "backbone": backbone,
            }
        )

    def decoded(self, report: BatchReport) -> None:
        """Count an image that was decoded, or could not be."""
        self._ran("decode", report)

    def failed(self, stage: str, *, inputs: int, service: int) -> None:
        """Count items that a stage failed at, because of themselves or because of the service."""
        for fault, items in (("input", inputs), ("service", service)):
            if items:
                self.failures.labels(stage, fault).inc(items)

    def decoded_jpegs(self, report: BatchReport) -> None:
        """Count a batch of images that the engine's device decoded, or left to the host."""
        self._ran("jpeg", report)
        self.batch_items.labels("jpeg").observe(report.items)

    def embedded(self, report: BatchReport, busy_seconds: float, network: str = ALEXNET) -> None:
        """Count a batch of images that the engine embedded by a network.

        `busy_seconds` is what the batch adds to the engine's busy time: the seconds that it ran, divided by the number
        of threads that embed at the same time.
        """
        self._engine_ran(embed_stage(network), report, busy_seconds)

    def compared(self, report: BatchReport, busy_seconds: float, stage: str = "compare") -> None:
        """Count a batch of pairs that the engine compared, or in the stage `locate` located the differences of.

        `busy_seconds` is what the batch adds to the engine's busy time: the seconds that it ran in the thread that
        embeds, 0 where comparisons have a thread of their own.
        """
        self._engine_ran(stage, report, busy_seconds)

    def _engine_ran(self, stage: str, report: BatchReport, busy_seconds: float) -> None:
        self._ran(stage, report)
        self.batch_items.labels(stage).observe(report.items)
        self.engine_busy_seconds.inc(busy_seconds)

    def _ran(self, stage: str, report: BatchReport) -> None:
        self.stage_seconds.labels(stage).observe(report.ran)
        waits = self.stage_seconds.labels("queue")
        for seconds in report.waited:
            waits.observe(seconds)
