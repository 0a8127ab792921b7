"""A service that stops in the middle of decoding: it answers what it can, and leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from loadtest.hostile.making import slow
from loadtest.hostile.processes import processes_of
from tests.support.pictures import encode, picture
from tests.support.processes import environment, wait_for_url
from tests.support.services import distance_body

SOUND = encode(picture(1, 64), "JPEG")


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A service in a session of its own, and its URL."""
    log = folder / "log"
    settings = environment(
        CLPIPS_PORT="0", CLPIPS_DATABASE_URL=f"sqlite:///{folder}/clpips.db", CLPIPS_LOG_FORMAT="json", **variables
    )
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "clpips.service.cli", "serve"], env=settings, stderr=lines, start_new_session=True
        )
    try:
        yield process, wait_for_url(process, log)
    finally:
        for left in processes_of(process.pid):
            os.kill(left, signal.SIGKILL)
        process.wait()


def send(url: str, image: bytes, answers: list[int]) -> threading.Thread:
    """Send a pair in a thread; its status is added to the answers, 0 where there was none."""
    content, content_type = distance_body("multipart", [(SOUND, image)])

    def post() -> None:
        try:
            reply = httpx.post(f"{url}/distance", content=content, headers={"content-type": content_type}, timeout=60)
            answers.append(reply.status_code)
        except httpx.HTTPError:
            answers.append(0)

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def gone(session: int, seconds: float = 20.0) -> bool:
    """Whether all processes of a session end within some seconds."""
    until = time.monotonic() + seconds
    while processes_of(session) and time.monotonic() < until:
        time.sleep(0.05)  # other processes are what is waited for
    return not processes_of(session)


def test_told_to_stop_under_load_it_answers_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url):
        assert len(processes_of(process.pid)) > 3
        answers: list[int] = []
        threads = [send(url, encode(picture(seed, 200), "JPEG"), answers) for seed in range(6)]
        threads += [send(url, slow() + bytes([number]), answers) for number in range(2)]
        time.sleep(0.3)  # they are on their way
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        for thread in threads:
            thread.join()
        assert set(answers) <= {200, 422, 503, 504}  # on a busy machine their deadlines may pass
        assert gone(process.pid)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "resource_tracker" not in log


def test_what_takes_longer_than_a_stop_may_is_ended_with_it(tmp_path: Path) -> None:
    with running(tmp_path, CLPIPS_SHUTDOWN_SECONDS="0") as (process, url):
        answers: list[int] = []
        thread = send(url, slow(), answers)
        time.sleep(0.5)  # it is on its way
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        thread.join()
        assert gone(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere decoders end with their image, and not before")
def test_a_service_that_is_killed_takes_its_decoders_with_it(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url):
        answers: list[int] = []
        threads = [send(url, slow() + bytes([number]), answers) for number in range(2)]
        time.sleep(0.5)  # they are being decoded
        process.kill()
        process.wait()
        for thread in threads:
            thread.join()
        assert gone(process.pid)


def test_a_fork_server_whose_service_has_gone_without_hearing_it_ends_without_a_word() -> None:
    ours, theirs = socket.socketpair()
    code = f"from clpips.service.decoding.nursery import main; main({theirs.fileno()}, 2**28, 10.0)"
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            env=environment(),
        )
    with ours:
        assert ours.recv(1, socket.MSG_PEEK)  # it is ready, and nobody has read that
    _, said = server.communicate(timeout=30)
    assert (server.returncode, said) == (0, b"")
