"""The second process of a fit worker: when it is asked, what it answers, and what becomes of it."""

import gc
import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clpips.models.fitting.personal import fit, part
from clpips.service.teaching import scheduling, second_process
from clpips.service.teaching.second_process import MOST_SHARED, SecondProcess
from tests.support.fit_jobs import job

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="there is one on Linux alone"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # of Python 3.12, where the tests have threads
]


@pytest.fixture
def processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Tells whether one is to spare."""
    file = tmp_path / "loadavg"
    monkeypatch.setattr(scheduling, "RUNNABLE", str(file))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def say(spare: bool) -> None:
        file.write_text(f"0 0 0 {1 if spare else 2}/80 7")

    say(True)
    return say


@pytest.fixture
def second(processors: Callable[[bool], None]) -> Iterator[SecondProcess]:
    process = SecondProcess.start()
    assert process is not None
    yield process
    process.close()


def test_it_answers_with_the_part_of_a_fit_that_the_worker_would_do(second: SecondProcess) -> None:
    for mine in (job(), job(4, 6, seed=1)):
        with second.beside(mine) as begun:
            there, here = begun(), part(mine)
        assert there is not None
        assert here is not None
        assert there[1:] == here[1:]
        for one, other in zip(there.spaces, here.spaces, strict=True):
            np.testing.assert_array_equal(one.whole, other.whole)
            np.testing.assert_array_equal([each.gaps for each in one.asked], [each.gaps for each in other.asked])
        np.testing.assert_array_equal(fit(mine, second.beside).weights, fit(mine).weights)


def test_it_is_not_asked_where_another_thread_wants_the_other_processor(
    second: SecondProcess, processors: Callable[[bool], None]
) -> None:
    processors(False)
    with second.beside(job()) as begun:
        assert begun() is None
    processors(True)
    with second.beside(job()) as begun:
        assert begun() is not None


def test_an_answer_that_nobody_took_is_not_that_of_the_next_fit(second: SecondProcess) -> None:
    with second.beside(job(3)):
        pass
    with second.beside(job(6)) as begun:
        answer = begun()
    assert answer is not None
    assert len(answer.spaces[0].asked) == 6


def test_it_has_nothing_to_say_of_rankings_that_support_no_fit(second: SecondProcess) -> None:
    nothing = job(1, candidates=2)
    with second.beside(nothing) as begun:
        assert begun() is None
    assert fit(nothing, second.beside).weights is None


def test_a_job_that_is_too_large_is_not_sent(second: SecondProcess) -> None:
    large = job(1, candidates=MOST_SHARED // (2 * 6016) + 1)
    with second.beside(large) as begun:
        assert begun() is None


def test_a_fit_goes_on_without_a_process_that_has_died(second: SecondProcess) -> None:
    os.kill(second.pid, signal.SIGKILL)
    os.waitid(os.P_PID, second.pid, os.WEXITED | os.WNOWAIT)
    for _ in range(2):
        np.testing.assert_array_equal(fit(job(), second.beside).weights, fit(job()).weights)
    assert second.lost
    with pytest.raises(ChildProcessError):
        os.waitpid(second.pid, 0)  # it has been waited for


def test_a_process_that_hangs_is_ended_and_its_part_done_by_the_worker(
    second: SecondProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_process, "MOST_SECONDS", 0.2)
    os.kill(second.pid, signal.SIGSTOP)
    np.testing.assert_array_equal(fit(job(), second.beside).weights, fit(job()).weights)
    assert second.lost


def test_what_fails_in_the_middle_of_an_answer_is_not_that_of_the_next_fit(
    second: SecondProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(_: bytes) -> None:
        raise MemoryError

    with second.beside(job()) as begun, monkeypatch.context() as patched:
        patched.setattr(pickle, "loads", without_memory)
        assert begun() is None
    assert second.lost
    np.testing.assert_array_equal(fit(job(6), second.beside).weights, fit(job(6)).weights)


def test_it_is_left_out_where_there_are_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError

    monkeypatch.setattr(os, "pipe", none_left)
    assert SecondProcess.start() is None


def test_it_ends_with_its_worker() -> None:
    code = (
        "from clpips.service.teaching.second_process import SecondProcess as Second\n"
        "print(Second.start().pid, flush=True)\n"
        "input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        descriptor = os.pidfd_open(pid)
        worker.kill()
        assert worker.stdout.read() == b""  # which would wait for whoever holds the pipe
    ended, _, _ = select.select([descriptor], [], [], 60)
    os.close(descriptor)
    assert ended


def test_jobs_leave_nothing_open(second: SecondProcess) -> None:
    counts = []
    for _ in range(3):
        fit(job(), second.beside)
        gc.collect()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert len(set(counts)) == 1
