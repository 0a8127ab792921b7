"""A job from its beginning to its end: what is there is kept, the rest is planned, handed out and counted."""

import errno
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from clpips.models.bulk.cells import require_columns
from clpips.models.bulk.embedding import READERS
from clpips.models.bulk.errors import BulkError, TooManyErrorsError
from clpips.models.bulk.executors import Executor
from clpips.models.bulk.folder import local_path
from clpips.models.bulk.job import JOB, SUMMARY, Job
from clpips.models.bulk.making_plan import make_plan
from clpips.models.bulk.options import JobOptions, statistics_alone
from clpips.models.bulk.parts import require_free_names
from clpips.models.bulk.progress import Progress, Report
from clpips.models.bulk.tasks import Task
from clpips.models.metric.backbone import CHANNELS, tap_sizes
from clpips.models.metric.weights import LayerWeights

JUDGED_ROWS: Final = 1000  # before the share of errors may stop a job
LOOK_SECONDS: Final = 1.0  # between looks for a plan that another process makes


@dataclass(frozen=True)
class RunOptions:
    """How a job is run: nothing that its table depends on."""

    retry_errors: bool = False
    max_error_share: float = 0.1
    share: tuple[int, int] | None = None  # (i, n): of n processes that share the parts, this is number i, from 0
    plan_only: bool = False


def run(
    job: Job,
    source: str,
    options: JobOptions,
    weights: LayerWeights,
    executor: Executor,
    how: RunOptions | None = None,
    report: Report | None = None,
) -> Progress:
    """Score the table at `source` into the job's folder, or what of it is missing there; how far it came.

    Raises `BulkError` for a job that cannot be done, and `TooManyErrorsError` where too many rows have errors.
    """
    how = how or RunOptions()
    source = local_path(source)
    progress = Progress()
    said = report or (lambda _: None)
    said(progress)
    job.require_own()
    with _alone(job, how) as alone:
        ((_, described),) = executor.run([Task("describe")])
        if how.share is not None and how.share[0] > 0:
            _await_plan(job, progress, said)
        going_on = job.begin(source, options, weights, described.engine, alone=alone)
        if how.share is None:
            for folder in (job.folder, job.work, job.hashes):
                folder.sweep()
        if not (going_on and job.plan.done):
            _plan(job, executor, progress, said)
        if not how.plan_only:
            _score(job, executor, how, progress, said)
            _finish(job, progress)
            said(progress)
    return progress


def _plan(job: Job, executor: Executor, progress: Progress, said: Report) -> None:
    options = job.options
    require_columns(job.table.schema, options.columns, matrix=options.matrix)
    if not options.matrix:
        require_free_names(job.table.schema, options.drop)
    make_plan(job, lambda tasks: _prepare(executor, tasks, progress, said))
    job.hashes.delete()


def _prepare(executor: Executor, tasks: Iterator[Task], progress: Progress, said: Report) -> None:
    """Do tasks that score nothing yet."""
    for _, outcome in executor.run(tasks):
        progress.images += outcome.images
        progress.not_spilled += outcome.not_spilled
        said(progress)


def _score(job: Job, executor: Executor, how: RunOptions, progress: Progress, said: Report) -> None:
    about, (rows, pairs) = job.plan.about, job.sizes()
    there = sorted(job.parts())
    with ThreadPoolExecutor(READERS) as pool:  # each is a look into a file, which may be far away
        bad = dict(zip(there, pool.map(job.bad_rows, there), strict=True))
    progress.stage, progress.scoring_since = "scoring", time.monotonic()
    progress.all_images, progress.all_parts, progress.parts = int(about["images"]), len(rows), len(there)
    progress.all_rows, progress.rows = int(rows.sum()), int(rows[there].sum())
    progress.all_pairs, progress.pairs = int(pairs.sum()), int(pairs[there].sum())
    progress.bad_rows = sum(bad.values())
    said(progress)
    own = _own_parts(len(rows), how)
    missing = [number for number in own if number not in bad]
    retried = [number for number in own if how.retry_errors and bad.get(number)]
    if missing and int(about["shared"]):
        if executor.one_disk:
            _require_room(job)
        many = len(missing) * job.bounds.images >= int(about["shared"])
        if many and how.share is None and executor.one_disk:  # else each worker embeds what it needs
            _prepare(executor, (Task("embed", one) for one in range(job.plan.embed_tasks)), progress, said)
    for number in there:
        if bad[number] and number not in retried:
            progress.errors += job.errors(number)
    waiting = {number: (int(rows[number]), bad[number]) for number in retried}  # not to be judged by what they were
    tasks = iter([*(Task("score", one) for one in missing), *(Task("score", one, retry=True) for one in retried)])
    for task, outcome in executor.run(tasks):
        if task.retry:
            progress.bad_rows += outcome.bad_rows - bad[task.number]
            del waiting[task.number]
        else:
            progress.parts += 1
            progress.rows += outcome.rows
            progress.pairs += outcome.pairs
            progress.bad_rows += outcome.bad_rows
        progress.pairs_here += outcome.pairs
        progress.images += outcome.images
        progress.not_spilled += outcome.not_spilled
        progress.errors += outcome.errors
        said(progress)
        judged, wrong = progress.rows, progress.bad_rows
        for waiting_rows, waiting_bad in waiting.values():
            judged, wrong = judged - waiting_rows, wrong - waiting_bad
        if judged >= JUDGED_ROWS and wrong > how.max_error_share * judged:
            raise _too_many_errors(progress, how, judged, wrong)


def _too_many_errors(progress: Progress, how: RunOptions, judged: int, wrong: int) -> TooManyErrorsError:
    lines = [f"{count:10,} × {words}" for words, count in progress.commonest()]
    return TooManyErrorsError(
        "\n".join(
            [
                f"stopped: {wrong:,} of {judged:,} rows have errors, and --max-error-share allows "
                f"{how.max_error_share:.0%}. The commonest:",
                *lines,
                "What is done is kept. Mend the images and run it again with --retry-errors, or raise the share.",
            ]
        )
    )


def _own_parts(count: int, how: RunOptions) -> range:
    """The parts that this process does: all of them, or one run of n that are equally long."""
    if how.share is None:
        return range(count)
    number, of = how.share
    return range(number * count // of, (number + 1) * count // of)


def _await_plan(job: Job, progress: Progress, said: Report) -> None:
    """Wait until the process that is number 0 has planned the job."""
    while JOB not in job.work.names() or not job.plan.done:
        progress.stage = "waiting for the plan of process 0"
        said(progress)
        time.sleep(LOOK_SECONDS)


def _require_room(job: Job) -> None:
    """Raise `BulkError` where the features that several shards need do not fit the disk."""
    folder, side = job.spill, job.options.resolution
    if side is None or statistics_alone(job.weights):
        return
    each = 4 * sum(c * h * w for c, (h, w) in zip(CHANNELS, tap_sizes(side, side), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in folder.rglob("*.features"))
    needed, free = int(job.plan.about["shared"]) * each - there, shutil.disk_usage(folder).free
    if needed > free:
        raise BulkError(
            f"{job.plan.about['shared']:,} images hang together in more pairs than a shard holds, and their features "
            f"take {needed / 2**20:,.0f} MiB on a disk; {folder} has {free / 2**20:,.0f} MiB left: name another folder "
            "with --spill, a lower --resolution, or weights without the family aligned"
        )


def _finish(job: Job, progress: Progress) -> None:
    if len(job.parts()) < progress.all_parts:
        progress.stage = "done with its share"
        return
    progress.stage = "done"
    shutil.rmtree(job.spill, ignore_errors=True)
    summary = {**progress.as_json(), "errors": dict(progress.commonest()), **job.metadata()}
    job.folder.write(SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False).encode())


@contextmanager
def _alone(job: Job, how: RunOptions) -> Iterator[bool]:
    """Hold the folder, so that nobody else works in it by mistake: until this process ends, however it does.
    Whether it is held alone: not in a store, nor where processes share the parts on purpose, which keep out others.

    Raises `BulkError` where somebody does.
    """
    if job.work.local is None:
        yield False
        return
    import fcntl

    job.work.local.mkdir(parents=True, exist_ok=True)
    alone = how.share is None
    with (job.work.local / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:  # a filesystem without locks
                yield False
                return
            raise BulkError(
                f"another process works in {job.folder.place}: wait for it, or share the parts, each with --shard i/n"
            ) from error
        yield alone
