"""Every setting of the service, from `CLPIPS_*` environment variables, checked once at start."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from clpips.models.engines.contract import ConvolutionName, EngineName, Precision
from clpips.models.engines.devices import DEVICES, DEVICES_EXPECTED
from clpips.models.images.pixels import MAX_RESOLUTION, PILLOW_MAX_PIXELS
from clpips.models.metric.backbone import MIN_SIDE

PREFIX = "CLPIPS_"

# Kubernetes and Docker announce a service called "clpips" to its neighbours by variables of these names.
SERVICE_LINK = re.compile(r"CLPIPS_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
COMMAND_LINE = frozenset({"CLPIPS_ADDRESS", "CLPIPS_CACHE", "CLPIPS_KEY"})  # what other commands and clients read
SERVICE_LINK_ADDRESS = re.compile(r"(tcp|udp|sctp)://")

Count = Annotated[int, Meta(ge=1)]


class SettingsError(ValueError):
    """One or more settings are unknown or have a value that cannot be used; the message names each."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one service process. `SETTINGS` lists them with the variables that set them."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    engine: Annotated[
        EngineName, Meta(description="What runs the backbone; `auto` prefers PyTorch on a GPU, else ONNX Runtime.")
    ] = "auto"
    device: Annotated[
        str,
        Meta(
            pattern=DEVICES,
            description="Where it runs; `auto` takes a GPU if there is one. `cuda:0,cuda:1` runs it on both of these, "
            "each with its own batches and features; one that is lost is done without.",
            extra={"expected": DEVICES_EXPECTED},
        ),
    ] = "auto"
    engine_fallback: Annotated[
        bool,
        Meta(
            description="Whether an engine that is asked for on a GPU and cannot run there takes the CPU; of several "
            "GPUs those that work are taken."
        ),
    ] = False
    precision: Annotated[
        Precision,
        Meta(
            description="`exact` is float32; `fast` is half precision (PyTorch engine), within 0.002 of exact: for "
            "GPUs, and for CPUs with bfloat16 units."
        ),
    ] = "exact"
    convolution: Annotated[
        ConvolutionName,
        Meta(
            description="How the engine `onnx` convolves on a CPU: `winograd` needs fewer multiplications and some "
            "120 MB more memory; `auto` measures at the start whether it is 1.2 times as fast as `direct` here."
        ),
    ] = "auto"
    backbone: Annotated[
        Path | None,
        Meta(
            description="A backbone file (safetensors) in place of AlexNet's, which ships: AlexNet, VGG16 or "
            "SqueezeNet, as `clpips backbone import` writes it."
        ),
    ] = None
    content: Annotated[
        bool,
        Meta(
            description="Whether the content network may be used, which new profiles begin with. It is loaded when it "
            "is first needed, or at the start where a stored profile uses it. `false` leaves it out: profiles that use "
            "it are then answered with 409, and new profiles begin without it."
        ),
    ] = True
    threads: Annotated[
        Count | None, Meta(description="Threads that the engine computes with; unset, one for each core.")
    ] = None
    decode_threads: Annotated[
        Count | None,
        Meta(description="Threads that decode and resize plain PNG and `.npy` files; unset, one for each core."),
    ] = None
    decode_processes: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="Processes that decode and resize all other images, each of which ends with the image that it "
            "does not survive; unset, two more than cores. 0 decodes everything in threads, which nothing ends."
        ),
    ] = None
    decode_seconds: Annotated[
        float,
        Meta(
            gt=0,
            description="Processor time that a process may take for one image, in seconds (422 above it).",
        ),
    ] = 10.0
    decode_bytes: Annotated[
        int,
        Meta(ge=2**27, description="Memory that a process may take for one image, in bytes (422 above it)."),
    ] = 768 * 2**20
    jpeg_decoder: Annotated[
        Literal["host", "device"],
        Meta(
            description="Where plain JPEGs are decoded and resized: `host` gives Pillow's pixels; `device` (PyTorch "
            "engine) is nvJPEG on a GPU, whose pixels differ."
        ),
    ] = "host"
    memory_bytes: Annotated[
        Annotated[int, Meta(ge=2**29)] | None,
        Meta(
            description="Memory that the service and its processes may take together, in bytes: what needs much of it "
            "at once (a large image, a large body, a fit) waits until there is room. Unset, the container's limit; "
            "without one nothing waits."
        ),
    ] = None
    max_body_bytes: Annotated[Count, Meta(description="Largest request body, in bytes (413 above it).")] = 128 * 2**20
    max_images: Annotated[
        int, Meta(ge=2, description="Most images in a request, each counted where it stands (422 above it).")
    ] = 256
    max_pixels: Annotated[
        int,
        Meta(
            ge=MIN_SIDE**2,
            le=PILLOW_MAX_PIXELS,
            description="Most pixels of an image as sent, before it is resized (422 above it).",
        ),
    ] = 32 * 2**20
    max_resolution: Annotated[
        int,
        Meta(ge=MIN_SIDE, le=MAX_RESOLUTION, description="Largest scoring resolution, pixels a side (422 above it)."),
    ] = 1024
    max_scored_pixels: Annotated[
        int,
        Meta(
            ge=2 * MIN_SIDE**2,
            description="Most pixels that the distinct images of a request have together at the scoring resolution "
            "(422 above it). A pixel costs some 40 bytes of AlexNet's features: this bounds a request's memory. With "
            "another backbone as many bytes bound the images that stay together: all of `/matrix`, two of other "
            "requests.",
        ),
    ] = 256 * 256**2
    max_batch: Annotated[
        Count | None,
        Meta(
            description="Most images in a forward pass, of which a CPU runs one on each core; unset, what the engine "
            "gains from: 1 or 2 (ONNX Runtime) or 4 (PyTorch) on a CPU, 64 on a GPU."
        ),
    ] = None
    max_delay_ms: Annotated[
        float, Meta(ge=0, le=1000, description="How long an idle engine waits for a fuller batch, in milliseconds.")
    ] = 0.0
    max_queue: Annotated[
        Count,
        Meta(
            description="Most images of all requests in hand that still cost work (503 and `Retry-After` above it). "
            "A request that comes while no other is in hand is taken whatever its size, up to `CLPIPS_MAX_IMAGES`."
        ),
    ] = 512
    inflight_body_bytes: Annotated[
        Count,
        Meta(
            description="Bytes that the bodies of all requests in hand have together at most; above it the largest "
            "that is still on its way is refused (503). A request that is alone may have `CLPIPS_MAX_BODY_BYTES`."
        ),
    ] = 192 * 2**20
    inflight_pixel_bytes: Annotated[
        Count,
        Meta(
            description="Bytes that the decoded images of all requests in hand have together at most: others wait, or "
            "come in alone."
        ),
    ] = 128 * 2**20
    inflight_feature_bytes: Annotated[
        Count | None,
        Meta(
            description="Bytes that the features of all requests in hand have together at most: others wait, or come "
            "in alone. A request of many images keeps no more of them at a time than its share. Unset, 7/8 of what "
            "features may take (`CLPIPS_FEATURE_CACHE_BYTES`), 384 MiB at least. What requests need displaces what is "
            "kept for later ones."
        ),
    ] = None
    request_seconds: Annotated[
        float,
        Meta(
            gt=0,
            description="Longest time from a request's head to its answer (504 after it, 408 where the body is what is "
            "late); a client may ask for less with `X-Request-Timeout-Ms`.",
        ),
    ] = 30.0
    feature_cache_bytes: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="Memory for the features of images seen before (2.6 MB each at 256×256, half of it with "
            "`fast`), in bytes, on each GPU where there are several; unset, 448 MiB on a CPU and half of what is free "
            "on a GPU."
        ),
    ] = None
    max_engine_failures: Annotated[
        Count, Meta(description="Batches that fail in a row before the process exits, for its supervisor to restart.")
    ] = 5
    stall_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            description="Longest time that a batch may run. After it `/readyz` answers 503, and after at most five "
            "seconds more the process exits with code 4, whatever hangs.",
        ),
    ] = 60.0
    drain_seconds: Annotated[
        float,
        Meta(
            ge=0,
            description="After SIGTERM, seconds that the port stays open at least, answering 503, so that a load "
            "balancer sees `/readyz` fail before connections do.",
        ),
    ] = 0.0
    shutdown_seconds: Annotated[
        int, Meta(ge=0, description="After SIGTERM, seconds that requests in flight have to finish.")
    ] = 30
    database_url: Annotated[
        str,
        Meta(
            description="Where profiles are kept: an SQLite file, made at the first start, or PostgreSQL "
            "(`postgresql://user:password@host/name`), which several replicas share."
        ),
    ] = "sqlite:///clpips.db"
    profile_refresh_seconds: Annotated[
        float, Meta(ge=0, description="A new version of a profile is in use on every replica within so many seconds.")
    ] = 2.0
    profile_cache: Annotated[
        Count, Meta(description="Profiles whose weights are held in memory, some 24 KB each; the least used leave.")
    ] = 10_000
    max_profiles: Annotated[Count, Meta(description="Most profiles that a tenant may keep (403 above it).")] = 10_000
    max_rankings: Annotated[
        Count, Meta(description="Most rankings that a tenant may keep (403 above it); ten candidates take 120 KB.")
    ] = 100_000
    comparison_ttl: Annotated[
        Count, Meta(description="Seconds for which an answer of `/rank` can be re-ordered without sending the images.")
    ] = 3600
    comparison_bytes: Annotated[Count, Meta(description="Memory for such answers, in bytes; the oldest leave.")] = (
        64 * 2**20
    )
    session_ttl: Annotated[
        int,
        Meta(
            ge=60,
            le=366 * 86_400,
            description="Seconds after which a session ends, with the token that opens it, and for which its "
            "thumbnails are kept in memory.",
        ),
    ] = 86_400
    session_candidates: Annotated[
        int, Meta(ge=1, le=10_000, description="Most candidates of a session (409 above it).")
    ] = 500
    max_sessions: Annotated[
        Count,
        Meta(
            description="Most sessions that a tenant may have at a time (403 above it); fifty candidates take 600 KB."
        ),
    ] = 1000
    session_thumbnail_bytes: Annotated[
        Annotated[int, Meta(ge=0)],
        Meta(
            description="Memory for thumbnails of sessions' images, in bytes, some 20 KB each; the least used leave. "
            "They are kept nowhere else; 0 makes none."
        ),
    ] = 64 * 2**20
    session_streams: Annotated[
        Count, Meta(description="Most event streams of sessions at a time (503 above it), of one session at most 20.")
    ] = 500
    api_keys: Annotated[
        str,
        Meta(
            description="API keys, as lines (or between `;`) of the form `NAME TENANT SCOPE[,SCOPE] sha256:HASH "
            "[expires=DATE]`; `clpips key` makes one. Without any the service is open."
        ),
    ] = ""
    api_keys_file: Annotated[
        Path | None, Meta(description="A file of such lines. A change of it is in force within seconds.")
    ] = None
    key_metrics: Annotated[
        bool, Meta(description="Whether `/metrics` tells when each API key was last used, by its name.")
    ] = False
    rate_limit: Annotated[
        Count | None,
        Meta(description="Requests a minute that each API key may send (429 above it)."),
    ] = None
    rate_limit_images: Annotated[
        Count | None,
        Meta(
            description="Images a minute that each API key may send or name, each once a request (429 above it). A "
            "request of more is taken where nothing else came in the minute before."
        ),
    ] = None
    rate_limit_cost: Annotated[
        Count | None,
        Meta(
            description="Cost a minute of each API key, in units (429 above it): an image that is embedded at 256×256 "
            "pixels costs one, at 1024×1024 sixteen; one whose features are held costs nothing."
        ),
    ] = None
    rate_limit_by: Annotated[
        Literal["key", "tenant"],
        Meta(description="Whether each API key has these rates for itself, or all keys of a tenant share them."),
    ] = "key"
    allow_open: Annotated[
        bool, Meta(description="Serve without API keys on an address that other machines can reach.")
    ] = False
    allowed_hosts: Annotated[
        str,
        Meta(
            description="Names by which the service may be asked for, with commas between them; `*.example.com` is "
            "every name below that one, `*` any name. Addresses and local names need no mention. Unset, a service with "
            "API keys that other machines can reach takes any name, and every other one no further name."
        ),
    ] = ""
    cors_origins: Annotated[
        str,
        Meta(
            description="Origins of other sites whose pages may use the service, like `https://studio.example.com`, "
            "with commas between them; `*` is every site."
        ),
    ] = ""
    tracing: Annotated[
        bool,
        Meta(
            description="Whether requests are traced by OpenTelemetry (extra `otel`), whose own `OTEL_…` variables say "
            "where spans go."
        ),
    ] = False
    log_format: Annotated[
        Literal["auto", "json", "console"], Meta(description="`auto` is JSON lines unless a person is watching.")
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe log line that is written.")
    ] = "info"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **overrides: Any) -> Self:
        """Settings from environment variables; `overrides` (from a command line) that are not None win.

        Raises `SettingsError` that names every unknown `CLPIPS_*` variable and every value that cannot be used, in
        one line. Variables of other commands, of the tests (`CLPIPS_TEST_*`) and those by which Kubernetes links
        services are skipped.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for variable, text in environment.items():
            if not variable.startswith(PREFIX) or _not_ours(variable, text):
                continue
            setting = SETTINGS.get(variable)
            if setting is None:
                near = difflib.get_close_matches(variable, SETTINGS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(SETTINGS)}"
                problems.append(f"{variable} is not a setting ({hint})")
                continue
            try:
                values[setting.field] = msgspec.convert(text.strip(), setting.type, strict=False, dec_hook=_path)
            except msgspec.ValidationError as error:
                problems.append(f"{variable}={text!r}: {_explain(setting, error)}")
        if problems:
            raise SettingsError("; ".join(problems))
        values.update({field: value for field, value in overrides.items() if value is not None})
        return msgspec.convert(values, cls, dec_hook=_path)


class Setting(NamedTuple):
    """One setting, for documentation and deployment: the field of `Settings` that `variable` sets."""

    variable: str
    field: str
    type: Any  # with its limits, as msgspec reads it
    default: Any
    description: str


def _listing() -> dict[str, Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    return {
        variable: Setting(variable, field.name, hints[field.name], field.default, _description(hints[field.name]))
        for field in msgspec.structs.fields(Settings)
        for variable in [PREFIX + field.name.upper()]
    }


def _description(hint: Any) -> str:
    return next(meta.description for meta in get_args(hint) if isinstance(meta, Meta) and meta.description)


SETTINGS: dict[str, Setting] = _listing()


def _path(_: type[Path], text: str) -> Path:
    return Path(text)


def _not_ours(variable: str, text: str) -> bool:
    if variable in COMMAND_LINE or variable.startswith("CLPIPS_TEST_"):
        return True
    linked = SERVICE_LINK.fullmatch(variable) is not None
    return linked and (variable not in SETTINGS or SERVICE_LINK_ADDRESS.match(text) is not None)


def _explain(setting: Setting, error: msgspec.ValidationError) -> str:
    kind, *metas = get_args(setting.type)
    for meta in metas:
        if isinstance(meta, Meta) and meta.extra:
            return f"expected {meta.extra['expected']}"
    return f"expected one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else str(error)
