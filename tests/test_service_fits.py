"""The worker processes: what they are asked, what they survive, and what they leave behind."""

import asyncio
import errno
import io
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clpips.models.fitting.job import FitJob, FitResult
from clpips.models.fitting.personal import fit
from clpips.models.metric.families import ALL_NETWORKS
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import NewRanking, NewVersion, Profile, TenantQuota
from clpips.service.teaching import scheduling
from clpips.service.teaching.fit_messages import MOST_BYTES, Task, framed
from clpips.service.teaching.fit_processes import (
    RECYCLE_BYTES,
    FitPostponedError,
    FitWorkerError,
    FitWorkers,
    memory_of,
)
from clpips.service.teaching.fit_worker import read, work
from clpips.service.teaching.scheduling import NICENESS
from tests.support.databases import BACKBONE
from tests.support.fit_jobs import job

T = "studio"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[ProfileStore]:
    database = Database(database_url)
    yield ProfileStore(database, TenantQuota(100, 100))
    await database.close()


@pytest.fixture
async def workers(database_url: str) -> AsyncIterator[Callable[..., FitWorkers]]:
    """Makes workers, which are ended; of normal priority, for a machine that may be busy with something else."""
    made: list[FitWorkers] = []

    def make(count: int, niceness: int = 0) -> FitWorkers:
        made.append(FitWorkers(count, database_url, niceness))
        return made[-1]

    yield make
    for one in made:
        await one.close()


Keep = Callable[..., Awaitable[Profile]]


@pytest.fixture
def keep(store: ProfileStore) -> Keep:
    """Keeps the rankings of a job in a profile of their own."""

    async def keep(job: FitJob, comparisons: Sequence[str | None] | None = None) -> Profile:
        name = f"p{len(await store.page(T, '', 1000))}"
        await store.create(T, name, "lpips", BACKBONE, NewVersion(job.base, "created", job.resolution, {}))
        own = comparisons or [None] * len(job.ranks)
        for place, comparison in enumerate(own):
            await store.add_ranking(T, name, order(job, place, comparison=comparison))
        return await store.find(T, name)

    return keep


def order(job: FitJob, place: int, target: str | None = None, comparison: str | None = None) -> NewRanking:
    """A ranking of a job, as it is stored."""
    return NewRanking(
        channel_distances=job.channel_distances[place],
        ranks=job.ranks[place],
        rater="",
        comparison=comparison,
        target=target or job.targets[place],
        candidates=job.candidates[place],
        resolution=256,
        guessed=0.5,
    )


def task_of(profile: Profile) -> Task:
    """The fit of a profile with all that it has now."""
    return Task.of(profile, ALL_NETWORKS)


def without_sense(broken: FitJob) -> FitJob:
    """A job that no fit can make sense of."""
    return replace(broken, base=np.ones(6976, np.float32))  # of another backbone


async def test_a_worker_gives_what_the_fit_gives_here(workers: Callable[..., FitWorkers], keep: Keep) -> None:
    result, here = await workers(1).fit(task_of(await keep(job()))), fit(job())
    assert result is not None
    assert result.weights is not None
    assert here.weights is not None
    np.testing.assert_array_equal(result.weights, here.weights)
    assert (result.taken, result.report, result.resolution) == (here.taken, here.report, 256)


async def test_a_worker_sees_every_ranking_that_was_kept_before_it_was_asked(
    workers: Callable[..., FitWorkers], keep: Keep, store: ProfileStore
) -> None:
    own, all_of_them = workers(1), job(rankings=4)
    profile = await keep(all_of_them)
    late = order(all_of_them, 0, "late")
    for number in range(2):
        result = await own.fit(task_of(profile))
        assert result is not None
        assert result.report["rankings"] == 4 + number
        profile = (await store.add_ranking(T, profile.name, late)).profile


async def test_of_two_orders_of_a_comparison_the_worker_reads_the_newest(keep: Keep, store: ProfileStore) -> None:
    profile = await keep(job(rankings=3), comparisons=["same", "other", "same"])
    assert [list(ranks) for ranks in (await read(store, task_of(profile))).ranks] == job(rankings=3).ranks[1:]


async def test_rankings_from_before_a_reset_are_not_read(keep: Keep, store: ProfileStore) -> None:
    profile = await store.reset(T, (await keep(job())).name)
    assert (await read(store, task_of(profile))).ranks == []


async def test_a_deleted_profile_has_no_result(
    workers: Callable[..., FitWorkers], keep: Keep, store: ProfileStore
) -> None:
    profile = await keep(job())
    await store.delete(T, profile.name)
    assert await workers(1).fit(task_of(profile)) is None


async def test_a_worker_that_cannot_read_says_so_and_tries_again_the_next_time(
    tmp_path: Path, keep: Keep, store: ProfileStore
) -> None:
    task = task_of(await keep(job()))
    workers = FitWorkers(1, f"sqlite:///{tmp_path}/other.db")  # where nobody has made tables yet
    with pytest.raises(StorageError, match="no such table"):
        await workers.fit(task)
    other = Database(f"sqlite:///{tmp_path}/other.db")
    await other.migrate()
    await other.close()
    assert await workers.fit(task) is None
    await workers.close()


async def test_a_fit_that_fails_fails_alone(workers: Callable[..., FitWorkers], keep: Keep) -> None:
    own = workers(1)
    with pytest.raises(FitWorkerError, match="raised an error"):
        await own.fit(task_of(await keep(without_sense(job()))))
    assert isinstance(await own.fit(task_of(await keep(job()))), FitResult)


async def test_a_killed_worker_fails_its_fit_and_the_next_has_another(
    workers: Callable[..., FitWorkers], keep: Keep
) -> None:
    own, task = workers(1), task_of(await keep(job()))
    pid = await waiting_process(own)
    fitting = asyncio.create_task(own.fit(task))
    await asyncio.sleep(0)  # the task has been sent
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(FitWorkerError, match="ended in the middle"):
        await fitting
    assert isinstance(await own.fit(task), FitResult)


async def test_a_worker_that_was_killed_while_it_waited_costs_no_fit(
    workers: Callable[..., FitWorkers], keep: Keep
) -> None:
    own, task = workers(1), task_of(await keep(job()))
    os.kill(await waiting_process(own), signal.SIGKILL)
    while own.idle:  # noqa: ASYNC110 - the event loop has yet to hear of its end
        await asyncio.sleep(0.01)
    assert isinstance(await own.fit(task), FitResult)


async def waiting_process(own: FitWorkers) -> int:
    """The id of a process that waits for a task, once there is one."""
    own.expect()
    while not own.idle:  # noqa: ASYNC110 - it is on its way
        await asyncio.sleep(0.01)
    return own.idle[0]


async def test_a_worker_gives_way_to_the_service_and_hears_nothing_of_its_terminal(
    workers: Callable[..., FitWorkers], keep: Keep, database_url: str
) -> None:
    own = workers(1, NICENESS)
    await own.fit(task_of(await keep(job())))
    (pid,) = own.idle
    assert os.getpriority(os.PRIO_PROCESS, pid) == NICENESS
    assert os.getsid(pid) == os.getsid(0)  # niceness counts for nothing between sessions
    assert os.getpgid(pid) == pid  # Ctrl-C goes to a group
    command = await asyncio.to_thread(Path(f"/proc/{pid}/cmdline").read_bytes)
    assert database_url.encode() not in command  # which every user sees, and a URL may hold a password


async def test_fits_beyond_the_number_of_workers_wait_for_one(workers: Callable[..., FitWorkers], keep: Keep) -> None:
    own = workers(2)
    tasks = [task_of(await keep(job(seed=seed))) for seed in range(5)]
    results = await asyncio.gather(*(own.fit(task) for task in tasks))
    assert len(own.idle) == 2
    for seed, result in enumerate(results):
        expected = fit(job(seed=seed)).weights
        assert result is not None
        assert result.weights is not None
        assert expected is not None
        np.testing.assert_array_equal(result.weights, expected)


async def test_a_process_that_holds_much_after_a_fit_is_ended(database_url: str, keep: Keep) -> None:
    own = FitWorkers(1, database_url, niceness=0, recycle_bytes=2**20)
    assert isinstance(await own.fit(task_of(await keep(job()))), FitResult)
    assert own.idle == []
    await own.close()


async def test_a_process_may_hold_so_much_and_no_more(workers: Callable[..., FitWorkers], keep: Keep) -> None:
    own = workers(1)
    await own.fit(task_of(await keep(job())))
    (pid,) = own.idle
    soft, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
    assert soft == hard == MOST_BYTES
    assert 50 * 2**20 < memory_of(pid) < RECYCLE_BYTES


async def test_of_too_many_rankings_the_newest_are_learned_from(keep: Keep, store: ProfileStore) -> None:
    asked = job(rankings=6, candidates=200)
    found = await read(store, task_of(await keep(asked)))
    assert found.targets == asked.targets[1:]  # 5 × 19,900 pairs


async def test_where_no_process_can_be_started_the_fit_is_postponed(database_url: str, keep: Keep) -> None:
    async def none_left(*_: object, **__: object) -> asyncio.subprocess.Process:
        raise OSError(errno.EMFILE, "Too many open files")

    own = FitWorkers(1, database_url, spawn=none_left)
    task = task_of(await keep(job()))
    for _ in range(2):
        with pytest.raises(FitPostponedError, match="Too many open files"):
            await own.fit(task)
    own.expect()
    await own.close()


async def test_a_worker_ends_when_its_input_does(tmp_path: Path) -> None:
    for rest in (b"", b"\x05", framed(f"sqlite:///{tmp_path}/clpips.db")):
        answers = io.BytesIO()
        await work(io.BytesIO(rest), answers)
        assert answers.getvalue() == b""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone tells how many threads want a processor")
@pytest.mark.parametrize(
    ("said", "waits"),
    [("0.2 0.1 0.1 1/80 7", False), ("9 9 9 9999/10000 7", True), ("0 0 0 0/0 0", True), ("", True), (None, True)],
    ids=["this one alone", "thousands", "nothing counted", "nothing said", "no such file"],
)
def test_a_fit_pauses_where_somebody_may_wait_for_a_processor(
    said: str | None, waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "loadavg"
    if said is not None:
        file.write_text(said)
    monkeypatch.setattr(scheduling, "RUNNABLE", str(file))
    with scheduling.waiting() as somebody_waits:
        assert somebody_waits() == waits
