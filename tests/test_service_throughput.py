"""Throughput: what counts as time of an image, and what does not."""

from contextlib import ExitStack, suppress

import pytest

from clpips.service.admission.throughput import Throughput


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work(throughput: Throughput, clock: Clock, images: int, seconds: float) -> None:
    """Images one after the other, each of so many seconds."""
    for _ in range(images):
        with throughput.image():
            clock.now += seconds


def test_it_becomes_what_images_take(clock: Clock) -> None:
    throughput = Throughput(clock)
    assert throughput.seconds_per_unit == 0
    work(throughput, clock, 500, 0.02)
    assert throughput.seconds_per_unit == pytest.approx(0.02, rel=0.01)
    work(throughput, clock, 500, 0.1)
    assert throughput.seconds_per_unit == pytest.approx(0.1, rel=0.01)


def test_images_of_one_batch_share_its_time(clock: Clock) -> None:
    throughput = Throughput(clock)
    for _ in range(200):
        with ExitStack() as batch:
            for _ in range(4):
                batch.enter_context(throughput.image())
            clock.now += 0.08
    assert throughput.seconds_per_unit == pytest.approx(0.02, rel=0.05)


def test_pauses_do_not_count(clock: Clock) -> None:
    throughput = Throughput(clock)
    for _ in range(500):
        work(throughput, clock, 1, 0.02)
        clock.now += 60
    assert throughput.seconds_per_unit == pytest.approx(0.02, rel=0.01)


def test_the_time_of_images_that_were_given_up_counts(clock: Clock) -> None:
    throughput = Throughput(clock)
    for _ in range(500):
        with throughput.image():
            with suppress(TimeoutError), throughput.image():
                clock.now += 0.3
                raise TimeoutError
            clock.now += 0.1
    assert throughput.seconds_per_unit == pytest.approx(0.4, rel=0.01)
