"""Workers that die are replaced, and look at files one by one in the end; what kills all of them ends the job."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from clpips.models.bulk import worker
from clpips.models.bulk.apart import ApartDecoder
from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.executors import ProcessExecutor
from clpips.models.bulk.tasks import Outcome, Task
from clpips.models.engines.contract import GPU_BATCH
from clpips.models.images.errors import DecoderError, UnknownFormatError
from clpips.models.images.pixels import Pixels
from tests.support.bulk import SIDE, options
from tests.support.pictures import npy
from tests.support.services import FakeEngine


class Mortal:
    """A worker that task 1 kills unless it is careful, and task 2 in any case."""

    def run(self, task: Task) -> Outcome:
        if task.number == 2 or (task.number == 1 and not task.careful):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.number == 3:
            raise BulkError("task 3 is refused")
        return Outcome(rows=task.number, bad_rows=int(task.careful))

    def close(self) -> None:
        """Nothing is held."""


class Masked:
    """A worker that says whether an interrupt can end it."""

    def run(self, task: Task) -> Outcome:
        return Outcome(rows=int(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())))

    def close(self) -> None:
        """Nothing is held."""


def outcomes(*numbers: int) -> dict[int, tuple[int, int]]:
    executor = ProcessExecutor(Mortal, 2)
    try:
        found = executor.run([Task("score", number) for number in numbers])
        return {task.number: (outcome.rows, outcome.bad_rows) for task, outcome in found}
    finally:
        executor.close()


def test_a_task_whose_worker_dies_is_done_again_and_carefully_in_the_end() -> None:
    assert outcomes(4, 1, 5) == {4: (4, 0), 1: (1, 1), 5: (5, 0)}


def test_a_task_that_kills_every_worker_ends_the_job_with_what_to_do() -> None:
    with pytest.raises(BulkError, match=r"4 workers have died of the same piece of work \(score 2\)"):
        outcomes(2)


def test_what_a_worker_refuses_ends_the_job() -> None:
    with pytest.raises(BulkError, match="task 3 is refused"):
        outcomes(3)


def crash(content: bytes, resolution: int | None, max_pixels: int) -> Pixels:
    """A decoder that some files crash."""
    if content == b"poison":
        os.kill(os.getpid(), signal.SIGSEGV)
    from clpips.models.images.decoding import load_image

    return load_image(content, resolution, max_pixels)


def test_a_decoder_that_crashes_apart_is_a_refused_image_and_the_next_one_is_read() -> None:
    decoder = ApartDecoder(crash)
    try:
        with pytest.raises(DecoderError, match="did not survive"):
            decoder.load(b"poison", 64, 10**6)
        assert decoder.load(npy(np.zeros((64, 64, 3), np.uint8)), 64, 10**6).shape == (64, 64, 3)
        with pytest.raises(UnknownFormatError):
            decoder.load(b"no image at all", 64, 10**6)
    finally:
        decoder.close()


@pytest.mark.parametrize(("device", "prepared"), [("cpu", []), ("cuda", [SIDE]), ("cuda:1", [SIDE])])
def test_an_engine_is_prepared_on_every_card_and_on_no_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, prepared: list[int]
) -> None:
    sides: list[int] = []

    class Card(FakeEngine):
        def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
            assert largest == GPU_BATCH
            sides.append(side)
            return feature_bytes or 0

    engine = Card()
    engine.device = device
    monkeypatch.setattr(worker, "open_engine", lambda *_args, **_kwargs: engine)
    outcome = worker.Worker(str(tmp_path), options(device=device)).run(Task("describe"))
    assert (outcome.engine["device"], sides) == (device, prepared)


def test_a_worker_cannot_be_interrupted_from_its_first_moment_on() -> None:
    executor = ProcessExecutor(Masked, 1)
    ((_, outcome),) = executor.run([Task("describe")])
    executor.close()
    assert outcome.rows == 1
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
