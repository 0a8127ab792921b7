"""The worker processes: what they are asked, what they survive, and what they leave behind."""

import asyncio
import io
import os
import signal

import numpy as np
import pytest

from models.backbone import TOTAL_CHANNELS
from models.weights import load_weights
from service.fits import NICENESS, FitWorkerError, FitWorkers, work
from service.fitting import FitJob, FitResult, fit

LPIPS = load_weights("lpips").values


def job(rankings: int = 3, candidates: int = 5, seed: int = 0) -> FitJob:
    """Rankings by somebody with weights of their own."""
    rng = np.random.default_rng(seed)
    hidden = rng.gamma(0.3, 1, TOTAL_CHANNELS)
    z = [rng.gamma(1, 0.01, (candidates, TOTAL_CHANNELS)).astype(np.float16) for _ in range(rankings)]
    ranks = [(np.argsort(np.argsort(rows @ hidden)) + 1).tolist() for rows in z]
    return FitJob(z, ranks, [str(number) for number in range(rankings)], LPIPS, LPIPS)


def without_reference(broken: FitJob) -> FitJob:
    """A job that no fit can make sense of."""
    return FitJob(broken.channel_distances, broken.ranks, broken.targets, np.ones(3, np.float32), broken.lpips)


async def test_a_worker_gives_what_the_fit_gives_here() -> None:
    workers = FitWorkers(1)
    result, here = await workers.fit(job()), fit(job())
    assert result.weights is not None
    assert here.weights is not None
    np.testing.assert_array_equal(result.weights, here.weights)
    assert (result.taken, result.report) == (here.taken, here.report)
    await workers.close()


async def test_a_fit_that_fails_fails_alone() -> None:
    workers = FitWorkers(1)
    with pytest.raises(FitWorkerError, match="raised an error"):
        await workers.fit(without_reference(job()))
    assert isinstance(await workers.fit(job()), FitResult)
    await workers.close()


async def test_a_killed_worker_fails_its_fit_and_the_next_has_another() -> None:
    workers = FitWorkers(1)
    workers.expect()
    while not workers._idle:  # noqa: ASYNC110 - a process is on its way
        await asyncio.sleep(0.01)
    process = workers._idle[0]
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    with pytest.raises(FitWorkerError, match="ended in the middle"):
        await workers.fit(job())
    assert isinstance(await workers.fit(job()), FitResult)
    await workers.close()


async def test_a_worker_gives_way_to_the_service_and_hears_nothing_of_its_terminal() -> None:
    workers = FitWorkers(1)
    await workers.fit(job())
    pid = workers._idle[0].pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == NICENESS
    assert os.getsid(pid) == os.getsid(0)  # niceness counts for nothing between sessions
    assert os.getpgid(pid) == pid  # Ctrl-C goes to a group
    await workers.close()


async def test_fits_beyond_the_number_of_workers_wait_for_one() -> None:
    workers = FitWorkers(2)
    results = await asyncio.gather(*(workers.fit(job(seed=seed)) for seed in range(5)))
    assert len(workers._idle) == 2
    for seed, result in enumerate(results):
        expected = fit(job(seed=seed)).weights
        assert result.weights is not None
        assert expected is not None
        np.testing.assert_array_equal(result.weights, expected)
    await workers.close()


def test_a_worker_ends_when_its_input_does() -> None:
    answers = io.BytesIO()
    work(io.BytesIO(b"\x05"), answers)
    assert answers.getvalue() == b""


def test_a_single_ranking_is_learned_from_by_leaving_candidates_out() -> None:
    result = fit(job(rankings=1, candidates=10))
    assert result.weights is not None
    assert result.report["held_out"] == "candidates"
    assert "spearman" not in result.report["agreement"]


def test_two_candidates_alone_support_nothing_and_say_so() -> None:
    result = fit(job(rankings=1, candidates=2))
    assert result.weights is None
    assert not result.taken
    assert "target" in result.reason


def test_a_version_is_taken_only_if_it_agrees_no_less_than_its_parent() -> None:
    for seed in range(6):
        result = fit(job(rankings=2, seed=seed))
        report = result.report
        assert result.taken == (report["agreement"]["pair_agreement"] >= report["parent"]["pair_agreement"])
