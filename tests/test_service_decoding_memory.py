"""Memory of decoder processes: a share for each image, and more for one at a time, once there is room for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from clpips.models.images.decoding import EncodedImage
from clpips.models.images.errors import DecoderError
from clpips.service.decoding import worker
from clpips.service.decoding.limits import SHARED_BYTES, DecoderLimits, MemoryLimit
from clpips.service.decoding.messages import Job, Outcome, Task
from clpips.service.decoding.processes import (
    HEAD_BYTES,
    SHARE,
    AbandonedError,
    DecoderProcesses,
    Memory,
    WantsMoreError,
)
from clpips.service.decoding.shared import SharedMemory
from tests.support.pictures import encode, picture

MAX_PIXELS = 2**23
LIMITS = DecoderLimits(2**28, 30.0)
CAPACITY = 3 * MAX_PIXELS


def test_what_a_share_of_memory_is_too_little_for_is_tried_once_more_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    content, limits = encode(picture(3, 80)), DecoderLimits(2**29, 30.0)
    steps: list[object] = []

    class Limit(MemoryLimit):
        def __init__(self) -> None:
            """It limits nothing here."""

        def allow(self, nbytes: int) -> None:
            steps.append(nbytes)

    def hungry(*arguments: Any) -> EncodedImage:
        if steps[-1] == SHARED_BYTES:
            raise MemoryError
        return EncodedImage(*arguments)

    monkeypatch.setattr(worker, "EncodedImage", hungry)
    memory = SharedMemory.create(CAPACITY)
    memory.write(content)
    job = Job(len(content), 64, MAX_PIXELS, Task.PIXELS)
    more = worker._decode(job, memory, limits, Limit())
    assert (more.outcome, more.needs, more.last) == (Outcome.WANTS_MORE, limits.nbytes, True)
    reply = worker._decode(job._replace(allowed=more.needs), memory, limits, Limit())
    memory.close()
    assert (reply.outcome, reply.height, reply.last) == (Outcome.DONE, 64, True)
    assert steps == [SHARED_BYTES, limits.nbytes]


class Taken:
    """Memory that is taken: how much, and by how many at a time."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.at_a_time = 0
        self.most_at_a_time = 0
        self.granted: int | None = None  # in place of what is asked for

    @contextmanager
    def taking(self, nbytes: int, wanted: Callable[[], bool], least: int) -> Iterator[int]:
        assert least == SHARED_BYTES
        self.asked.append(nbytes)
        self.at_a_time += 1
        self.most_at_a_time = max(self.at_a_time, self.most_at_a_time)
        yield (nbytes if self.granted is None else self.granted) if wanted() else 0
        self.at_a_time -= 1


@contextmanager
def taking(memory: Taken) -> Iterator[DecoderProcesses]:
    processes = DecoderProcesses(2, DecoderLimits(2**29, 30.0), 3 * 2**25, memory.taking)
    try:
        yield processes
    finally:
        processes.close()


def test_a_large_image_takes_memory_by_its_pixels_and_a_small_one_none() -> None:
    memory = Taken()
    with taking(memory) as processes:
        assert processes.decode(encode(picture(3, 80), "JPEG"), 64, 2**25).pixels.shape == (64, 64, 3)
        assert memory.asked == []
        large = encode(np.zeros((2100, 2100, 3), np.uint8), "JPEG")
        assert processes.decode(large, 64, 2**25).pixels.shape == (64, 64, 3)
        assert memory.asked == [DecoderLimits(2**29, 30.0).needs(2100 * 2100, len(large))]


def test_a_large_file_takes_memory_for_itself_until_its_head_is_read() -> None:
    memory = Taken()
    with taking(memory) as processes:
        large = encode(np.zeros((2500, 2500, 3), np.uint8), "BMP")
        assert processes.size(large, 2**25) == (2500, 2500)
        assert memory.asked == [len(large) + HEAD_BYTES]
        assert processes.decode(large, 64, 2**25).pixels.shape == (64, 64, 3)
        assert memory.asked[2:] == [DecoderLimits(2**29, 30.0).needs(2500 * 2500, len(large))]


def test_of_large_images_one_is_decoded_at_a_time() -> None:
    memory = Taken()
    large = encode(np.zeros((2100, 2100, 3), np.uint8), "JPEG")
    with taking(memory) as processes:
        threads = [threading.Thread(target=processes.decode, args=(large, 64, 2**25)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(memory.asked), memory.most_at_a_time) == (4, 1)


def test_who_has_only_a_share_is_told_what_the_image_needs() -> None:
    memory = Taken()
    large = encode(np.zeros((2100, 2100, 3), np.uint8), "JPEG")
    with taking(memory) as processes:
        with pytest.raises(WantsMoreError) as told:
            processes.decode(large, 64, 2**25, memory=SHARE)
        assert memory.asked == []
        assert processes.decode(large, 64, 2**25, memory=Memory(needs=told.value.nbytes)).pixels.shape == (64, 64, 3)
        assert memory.asked == [told.value.nbytes]


def test_an_image_that_waits_for_memory_is_given_up_with_who_sent_it() -> None:
    memory = Taken()
    large = encode(np.zeros((2100, 2100, 3), np.uint8), "JPEG")
    with taking(memory) as processes, pytest.raises(AbandonedError):
        processes.decode(large, 64, 2**25, lambda: False)


def test_an_image_for_which_there_is_too_little_memory_now_is_no_bad_image() -> None:
    memory = Taken()
    memory.granted = 2**24
    with taking(memory) as processes, pytest.raises(MemoryError, match="no memory for the image now"):
        processes.decode(encode(np.zeros((3000, 3000, 4), np.uint8), "PNG"), 64, 2**25)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_an_image_gets_so_much_memory(name: str) -> None:
    processes = DecoderProcesses(1, DecoderLimits(24 * 2**20, 30.0), CAPACITY)
    try:
        with pytest.raises(DecoderError, match="more than 24 MiB of memory"):
            processes.decode(encode(np.zeros((2048, 2048, 4), np.uint8), name), 64, MAX_PIXELS)
        assert processes.decode(encode(picture(3, 80)), 64, MAX_PIXELS).pixels.shape == (64, 64, 3)
    finally:
        processes.close()
