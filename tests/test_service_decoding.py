"""Decoder processes: the same pixels, and a file that harms its decoder harms nobody else."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from clpips.models.images.decoding import image_size, load_image
from clpips.models.images.errors import DecoderError, TooManyPixelsError, TruncatedImageError
from clpips.service.decoding.forking import Nursery, NurseryError
from clpips.service.decoding.limits import DecoderLimits
from clpips.service.decoding.processes import (
    AbandonedError,
    DecoderProcesses,
)
from loadtest.hostile.making import slow, tiff
from tests.support.pictures import Pixels, encode, npy, picture
from tests.support.processes import children
from tests.support.services import distance_body, serving

MAX_PIXELS = 2**23
LIMITS = DecoderLimits(2**28, 30.0)
CAPACITY = 3 * MAX_PIXELS


@pytest.fixture(scope="module")
def processes() -> Iterator[DecoderProcesses]:
    processes = DecoderProcesses(2, LIMITS, CAPACITY)
    processes.start()
    yield processes
    processes.close()


def descendants() -> set[int]:
    """The processes that this one has started, and those that they have."""
    own = children(os.getpid())
    return {*own, *(grandchild for child in own for grandchild in children(child))}


def signalled(number: signal.Signals, processes: DecoderProcesses) -> Callable[[], bool]:
    """A `wanted` that sends a signal to the process that decodes, each time that it is asked."""

    def wanted() -> bool:
        idle = set(processes.idle)
        for process in descendants():
            parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
            if parent != os.getpid() and process not in idle:
                os.kill(process, number)
        return True

    return wanted


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("resolution", [64, None])
def test_a_process_gives_the_pixels_that_a_thread_gives(
    processes: DecoderProcesses, name: str, resolution: int | None
) -> None:
    content = encode(picture(3, 80, 100), name)
    expected = load_image(content, resolution)
    np.testing.assert_array_equal(processes.decode(content, resolution, MAX_PIXELS).pixels, expected)
    assert processes.size(content, MAX_PIXELS) == image_size(content)


def test_an_image_that_is_refused_is_refused_in_the_same_words(processes: DecoderProcesses) -> None:
    content = encode(picture(3, 80), "JPEG")
    with pytest.raises(TooManyPixelsError, match="80×80 = 6,400 pixels, the limit is 6,399"):
        processes.decode(content, 64, 6399)
    with pytest.raises(TooManyPixelsError, match="the limit is 6,399"):
        processes.size(content, 6399)
    with pytest.raises(TruncatedImageError, match="send the whole file"):
        processes.decode(content[:700], 64, MAX_PIXELS)


def test_an_image_that_nobody_waits_for_is_ended_in_the_middle(processes: DecoderProcesses) -> None:
    started = time.monotonic()
    with pytest.raises(AbandonedError):
        processes.decode(slow(), 64, MAX_PIXELS, lambda: False)
    assert time.monotonic() - started < 10  # it would take much longer
    assert processes.decode(encode(picture(3, 80)), 64, MAX_PIXELS).pixels.shape == (64, 64, 3)


def test_a_decoder_that_crashes_is_the_files_fault_and_another_takes_its_place(processes: DecoderProcesses) -> None:
    with pytest.raises(DecoderError, match="crashed on the image"):
        processes.decode(slow(), 64, MAX_PIXELS, signalled(signal.SIGSEGV, processes))
    assert processes.decode(encode(picture(3, 80)), 64, MAX_PIXELS).pixels.shape == (64, 64, 3)


def test_a_decoder_that_others_end_is_tried_once_more(processes: DecoderProcesses) -> None:
    kill = signalled(signal.SIGKILL, processes)
    asked: list[int] = []

    def wanted() -> bool:
        asked.append(1)
        return kill() if len(asked) == 1 else len(asked) < 4

    with pytest.raises(AbandonedError):  # the second process is at work when nobody waits any more
        processes.decode(slow(), 64, MAX_PIXELS, wanted)
    assert len(asked) == 4


def test_an_image_gets_so_much_processor_time() -> None:
    processes = DecoderProcesses(1, DecoderLimits(2**28, 0.5), CAPACITY)
    try:
        with pytest.raises(DecoderError, match=r"more than 0\.5 s of processor time"):
            processes.decode(slow(), 64, MAX_PIXELS)
        assert processes.decode(encode(picture(3, 80)), 64, MAX_PIXELS).pixels.shape == (64, 64, 3)
    finally:
        processes.close()


def test_more_callers_than_processes_wait_for_nobody(processes: DecoderProcesses) -> None:
    content = encode(picture(3, 80), "JPEG")
    expected = load_image(content, 64)
    results: list[Pixels] = []

    def call() -> None:
        results.extend(processes.decode(content, 64, MAX_PIXELS).pixels for _ in range(5))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    assert all(np.array_equal(result, expected) for result in results)


def test_a_fork_server_that_is_killed_is_started_again() -> None:
    processes = DecoderProcesses(1, LIMITS, CAPACITY)
    try:
        content = encode(picture(3, 80), "JPEG")
        before = descendants()
        processes.start()
        server = next(process for process in descendants() - before if process in children(os.getpid()))
        os.kill(server, signal.SIGKILL)
        assert processes.decode(content, 64, MAX_PIXELS).pixels.shape == (64, 64, 3)
        with suppress(AbandonedError):
            processes.decode(slow(), 64, MAX_PIXELS, lambda: False)
        assert processes.decode(content, 64, MAX_PIXELS).pixels.shape == (64, 64, 3)
    finally:
        processes.close()


def test_no_process_is_left_when_they_are_closed() -> None:
    before = descendants()
    processes = DecoderProcesses(2, LIMITS, CAPACITY)
    processes.start()
    assert len(descendants() - before) == 3
    processes.close()
    assert descendants() <= before
    with pytest.raises(RuntimeError, match="stopping"):
        processes.decode(npy(picture(3, 40)), 64, MAX_PIXELS)


def test_what_decoders_say_is_in_the_log_once() -> None:
    profile = encode(picture(3, 40), "PNG", icc_profile=b"no profile at all")
    with capture_logs() as logs:
        processes = DecoderProcesses(1, LIMITS, CAPACITY)
        for _ in range(3):
            processes.decode(profile, 64, MAX_PIXELS)
        processes.close()
    said = [line for line in logs if line["event"] == "a decoder says"]
    assert len(said) == 1
    assert "a colour profile of 17 bytes is ignored" in said[0]["words"]


def test_libtiffs_own_words_are_in_the_log() -> None:
    tags = [(256, 4, [64]), (257, 4, [64]), (258, 3, [8, 8, 8]), (259, 3, [5]), (262, 3, [2]), (277, 3, [3])]
    codes = b"\x80\x7f\xff" * 14  # the first that follows the clear code has not been defined
    damaged = tiff([*tags, (273, 4, [8]), (278, 4, [64]), (279, 4, [len(codes)])], codes)
    with capture_logs() as logs:
        processes = DecoderProcesses(1, LIMITS, CAPACITY)
        with pytest.raises(TruncatedImageError):
            processes.decode(damaged, 64, MAX_PIXELS)
        processes.close()
    assert any("not yet in table" in line.get("words", "") for line in logs)


def test_a_late_answer_is_not_taken_for_the_answer_to_another_command() -> None:
    nursery = Nursery(LIMITS, answer_seconds=0.2)
    try:
        worker = nursery.fork(CAPACITY)
        os.kill(nursery.process, signal.SIGSTOP)
        with pytest.raises(NurseryError, match="does not answer"):
            nursery.end(worker)
        os.kill(nursery.process, signal.SIGCONT)  # and the answer comes: a wait status, and no process to work with
        with pytest.raises(NurseryError, match="has ended"):
            nursery.fork(CAPACITY)
    finally:
        nursery.close()


def test_a_fork_server_that_is_stopped_with_its_processes_is_left_and_started_again() -> None:
    before = descendants()
    processes = DecoderProcesses(2, LIMITS, CAPACITY)
    asked = 0

    def wanted() -> bool:
        nonlocal asked
        asked += 1
        return asked < 3

    try:
        processes.start()
        stopped = descendants() - before
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        with pytest.raises(AbandonedError):
            processes.decode(encode(picture(3, 80), "JPEG"), 64, MAX_PIXELS, wanted)
        assert processes.decode(encode(picture(3, 80), "JPEG"), 64, MAX_PIXELS).pixels.shape == (64, 64, 3)
        deadline = time.monotonic() + 10.0
        while stopped & descendants() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not stopped & descendants()
    finally:
        processes.close()


def test_where_no_decoder_can_be_started_the_answer_is_503_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Nursery:
        raise NurseryError("it cannot be started: [Errno 12] Cannot allocate memory")

    before = descendants()
    with serving(decode_processes=1) as service:
        monkeypatch.setattr("clpips.service.decoding.pool.Nursery", full)
        for process in descendants() - before:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        content, content_type = distance_body("multipart", [(encode(picture(3, 80), "JPEG"), npy(picture(4, 80)))])
        reply = service.post("/distance", content=content, headers={"content-type": content_type})

    assert reply.status_code == 503
    assert reply.json()["type"].endswith("not-ready")
    assert "no process can be started" in reply.json()["detail"]
    assert reply.headers["retry-after"] == "2"
