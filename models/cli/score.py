"""`clpips score`: the distances of a whole table of pairs, on this machine or on a Ray cluster."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import rich_click as click

from clpips.models.bulk.errors import StoreError, require
from clpips.models.cli.options import (
    FiniteRange,
    backbone_option,
    choice_option,
    engine_option,
    json_option,
    resolution_option_of,
    weights_option,
)
from clpips.models.cli.output import clock, counted, print_json
from clpips.models.cli.score_progress import shown
from clpips.models.engines.contract import DeviceName, EngineName, Precision
from clpips.models.engines.cores import core_count

if TYPE_CHECKING:
    from clpips.models.bulk.executors import Executor
    from clpips.models.bulk.options import JobOptions
    from clpips.models.bulk.progress import Progress

CORES_A_WORKER = 8
WORKERS_A_CORE = 4  # at most: each has an engine and its memory
FAILED, INTERRUPTED, TERMINATED = 1, 130, 143  # exit codes: the first is for what another try may find better


class ColumnsParam(click.ParamType[tuple[str, str]]):
    """`target=NAME,candidate=NAME`, or one of the two."""

    name = "target=NAME,candidate=NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        found = {"target": "target", "candidate": "candidate"}
        for piece in str(value).split(","):
            side, separator, name = piece.partition("=")
            if side == "image":
                side = "target"
            if not separator or not name or side not in found:
                self.fail(f"{piece!r} is not target=NAME or candidate=NAME (image=NAME with --matrix)", param, ctx)
            found[side] = name
        return found["target"], found["candidate"]


class ShareParam(click.ParamType[tuple[int, int]]):
    """`i/n`: number i, from 0, of n."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
            self.fail(f"{value!r} is not i/n with i from 0 to n − 1", param, ctx)
        return int(number), int(of)


@click.command("score")
@click.argument("pairs", metavar="PAIRS")
@click.option("--out", required=True, metavar="DIR", help="Folder or URL of the table that is written.")
@weights_option
@click.option("--columns", type=ColumnsParam(), help="Columns that hold images.  [default: target, candidate]")
@click.option(
    "--root", default="", metavar="DIR", help="What relative names are relative to.  [default: PAIRS's folder]"
)
@click.option("--matrix", is_flag=True, help="Score all pairs of the images in one column (image=NAME).")
@resolution_option_of("all images")
@click.option("--retry-errors", is_flag=True, help="Do rows with errors again, and no others.")
@click.option(
    "--max-error-share",
    type=FiniteRange(0, 1),
    default=0.1,
    show_default=True,
    help="Stop when more of the rows have errors; judged from 1,000 rows on.",
)
@click.option("--drop", multiple=True, metavar="COLUMN", help="Leave a column of PAIRS out of the output.")
@choice_option(
    "--dedupe",
    ["content", "name"],
    "What tells images apart before they are scored: content reads every file once more.",
)
@engine_option
@choice_option("--device", ["auto", "cpu", "cuda"])
@choice_option("--precision", ["exact", "fast"])
@choice_option(
    "--convolution",
    ["winograd", "direct"],
    "How the engine onnx convolves on a CPU; distances differ by their rounding alone.",
)
@backbone_option
@click.option(
    "--engine-workers", type=click.IntRange(1), help="Processes with an engine each.  [default: one for 8 cores]"
)
@click.option("--ray", "address", metavar="auto|ADDRESS", help="Work on this Ray cluster.")
@click.option(
    "--worker-cpus",
    type=click.IntRange(1),
    help="Cores of a worker on Ray.  [default: those of the smallest node, 8 at most]",
)
@click.option("--worker-gpus", type=click.IntRange(0), default=0, show_default=True, help="GPUs of a worker on Ray.")
@click.option("--shard", "share", type=ShareParam(), help="Do the i-th of n equal shares; number 0 plans for all.")
@click.option("--plan-only", is_flag=True, help="Plan, and score nothing.")
@click.option("--shard-images", type=click.IntRange(2), help="Images of a shard at most; fewer need less memory.")
@click.option("--shard-pairs", type=click.IntRange(1), help="Pairs of a shard at most.")
@click.option("--spill", metavar="DIR", help="Folder for features that several shards need.  [default: in --out]")
@click.option(
    "--timeout",
    type=FiniteRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds an image may take to come.",
)
@json_option
def score_command(
    pairs: str,
    out: str,
    weights: str,
    columns: tuple[str, str] | None,
    root: str,
    matrix: bool,
    resolution: int | None,
    retry_errors: bool,
    max_error_share: float,
    drop: tuple[str, ...],
    dedupe: str,
    engine: EngineName,
    device: DeviceName,
    precision: Precision,
    convolution: str,
    backbone: Path | None,
    engine_workers: int | None,
    address: str | None,
    worker_cpus: int | None,
    worker_gpus: int,
    share: tuple[int, int] | None,
    plan_only: bool,
    shard_images: int | None,
    shard_pairs: int | None,
    spill: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Score a table of pairs: PAIRS is Parquet, CSV or JSON Lines, with images as paths, URLs or bytes.

    Run again, it goes on where it stopped. It needs the extra `bulk`, and `ray` for a cluster.
    """
    for module in ("pyarrow", "fsspec"):
        require(module, "bulk", "clpips score")
    from clpips.models.bulk.job import Job
    from clpips.models.bulk.options import Columns, JobOptions, bounds_of
    from clpips.models.bulk.running import RunOptions, run

    default = ("image", "candidate") if matrix else ("target", "candidate")
    options = JobOptions(
        weights=weights,
        resolution=resolution,
        columns=Columns(*(columns or default)),
        root=root,
        matrix=matrix,
        dedupe="name" if dedupe == "name" else "content",
        shard_images=shard_images or 0,
        shard_pairs=shard_pairs or 0,
        drop=drop,
        engine=engine,
        device=device,
        precision=precision,
        convolution="direct" if convolution == "direct" else "winograd",
        backbone="" if backbone is None else str(backbone.absolute()),
        fetch_seconds=timeout,
    )
    chosen = options.load_weights()
    bounds_of(options, chosen)
    how = RunOptions(retry_errors, max_error_share, share, plan_only)
    spill = None if spill is None else str(Path(spill).absolute())
    job = Job(out, spill)
    progress: Progress | None = None
    with (
        _ending(job),
        shown() as report,
        _executor(job.folder.place, options, spill, engine_workers, address, worker_cpus, worker_gpus) as executor,
    ):
        progress = run(job, pairs, options, chosen, executor, how, report)
    _print(progress, out, as_json=as_json, planned=plan_only)


@contextmanager
def _executor(
    out: str,
    options: "JobOptions",
    spill: str | None,
    workers: int | None,
    address: str | None,
    cpus: int | None,
    gpus: int,
) -> "Iterator[Executor]":
    """Who works: on a Ray cluster where one is named, else processes of this machine."""
    from clpips.models.bulk.executors import ProcessExecutor
    from clpips.models.bulk.folder import is_url
    from clpips.models.bulk.worker import Worker

    executor: Executor
    if address is not None:
        require("ray", "ray", "--ray")
        from clpips.models.bulk.on_ray import RayExecutor

        in_common = spill is None and not is_url(out)
        executor = RayExecutor(address, Worker, (out, options), spill, workers, cpus, gpus, one_disk=in_common)
    else:
        count = workers or -(-core_count() // CORES_A_WORKER)
        if count > (most := WORKERS_A_CORE * core_count()):
            raise click.BadParameter(f"{count} is more than {most}, four for a core", param_hint="--engine-workers")
        make = partial(Worker, out, options, max(1, core_count() // count), spill)
        executor = ProcessExecutor(make, count)
    try:
        yield executor
    finally:
        executor.close()


@contextmanager
def _ending(job: Any) -> Iterator[None]:
    """End in order when asked to, by Ctrl-C or SIGTERM, and where a store or a disk fails; what is done is kept."""
    code = INTERRUPTED

    def terminated(_: int, __: object) -> NoReturn:
        nonlocal code
        code = TERMINATED
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except KeyboardInterrupt:
        parts = len(job.parts())
        click.echo(f"clpips: stopped, {counted(parts, 'part')} there: the same command goes on from them", err=True)
        sys.exit(code)
    except (FileNotFoundError, NotADirectoryError, FileExistsError, PermissionError):
        raise
    except (OSError, StoreError) as error:
        words = (
            f"{error.filename or 'the system'}: {' '.join(str(error.strerror or error).split())}"
            if isinstance(error, OSError)
            else str(error)
        )
        click.echo(f"clpips: {words}; what is done is kept: the same command goes on from it", err=True)
        sys.exit(FAILED)
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(progress: "Progress", out: str, *, as_json: bool, planned: bool) -> None:
    if as_json:
        print_json({**progress.as_json(), "errors": dict(progress.commonest()), "out": out})
        return
    if planned:
        click.echo(f"{out}: planned")
        return
    rows, parts = counted(progress.rows, "row"), counted(progress.parts, "part")
    click.echo(f"{out}: {rows} in {parts}, {progress.bad_rows:,} with an error")
    for words, count in progress.commonest():
        click.echo(f"{count:10,} × {words}")
    images, pairs = counted(progress.images, "image"), counted(progress.pairs_here, "pair")
    click.echo(
        f"took {clock(progress.seconds)}: {images} embedded at {progress.images_per_second:.0f}/s, "
        f"{pairs} compared at {progress.pairs_per_second:.0f}/s"
    )
    if progress.not_spilled:
        click.echo("the disk was full for features that are needed again: they were computed again", err=True)
