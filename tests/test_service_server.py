"""`clpips serve` as a process: what it says, what it answers, how it stops."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from tests.support.pictures import encode, picture
from tests.support.processes import environment

IMAGES = [encode(picture(seed, 64)) for seed in range(3)]

# The service with PyTorch out of reach, as on the default install.
WITHOUT_TORCH = """
import sys

class NotInstalled:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"torch", "torchvision", "lpips", "onnx"}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, NotInstalled())
from clpips.service.cli import main
main(sys.argv[1:])
"""


DATABASE = tempfile.TemporaryDirectory()


def settings(**variables: str) -> dict[str, str]:
    """The environment of a service on a free port, with a database of its own."""
    own = {"CLPIPS_PORT": "0", "CLPIPS_DATABASE_URL": f"sqlite:///{DATABASE.name}/clpips.db"}
    return environment(**own | variables)


class Service:
    """A running `clpips serve`; its log lines so far in `lines`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        assert process.stderr is not None
        for line in process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == "listening":
                self.url: str = self.lines[-1]["url"]
                return
        raise AssertionError(f"the service stopped with {process.wait()}: {self.lines}")

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        assert self.process.stderr is not None
        self.lines += [json.loads(line) for line in self.process.stderr]
        return self.process.wait()


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[Service]:
    command = [sys.executable, "-c", WITHOUT_TORCH, "serve", *arguments]
    with subprocess.Popen(command, env=settings(**variables), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Service(process)
        finally:
            process.kill()


def refused(*arguments: str, **variables: str) -> str:
    """The one line of a start that fails with exit code 2."""
    command = [sys.executable, "-m", "clpips.service.cli", "serve", *arguments]
    done = subprocess.run(command, env=settings(**variables), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(CLPIPS_CONVOLUTION="auto") as service:
        yield service


def test_it_says_where_it_listens_and_what_it_runs(service: Service) -> None:
    measured, opened, ready, listening = service.lines
    assert measured["level"] == "info"
    assert "convolutions: an image takes a core" in measured["event"]
    assert ready["convolution"] == ("winograd" if measured["event"].startswith("Winograd's") else "direct")
    assert opened["level"] == "warning"
    assert opened["event"].startswith("open: there are no API keys")
    assert ready["event"] == "engine ready"
    assert (ready["name"], ready["device"], ready["precision"]) == ("onnx", "cpu", "exact")
    assert ready["backbone"] == SHIPPED_FINGERPRINT
    assert "lpips" in ready["weights"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", listening["url"])


def test_curls_form_is_answered_without_pytorch(service: Service) -> None:
    files = [("target", ("t.png", IMAGES[0])), *(("candidates", (f"{n}.png", image)) for n, image in enumerate(IMAGES))]
    reply = httpx.post(f"{service.url}/rank", files=files, timeout=30).json()
    assert (reply["ranking"][0]["index"], reply["ranking"][0]["distance"]) == (0, 0.0)
    assert all(row["distance"] > 0 for row in reply["ranking"][1:])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_with_exit_code_0(how: signal.Signals) -> None:
    with running() as service:
        assert httpx.get(f"{service.url}/readyz").status_code == 200
        assert service.stop(how) == 0
        assert service.lines[-1]["event"] == "stopped"


def test_requests_are_logged_as_json_with_their_id() -> None:
    with running() as service:
        httpx.get(f"{service.url}/nope", headers={"x-request-id": "mine"})
        service.stop(signal.SIGTERM)
        (line,) = (line for line in service.lines if line["event"] == "request")
    assert (line["request_id"], line["status"], line["level"]) == ("mine", 404, "info")


def test_a_log_that_nobody_reads_any_more_fails_no_request() -> None:
    with running() as service:
        assert service.process.stderr is not None
        service.process.stderr.close()
        assert httpx.post(f"{service.url}/profiles", json={"name": "unread"}).status_code == 201
        assert httpx.get(f"{service.url}/profiles/unread").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait() == 0


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("stream", ["2>/dev/full", "<&- >&- 2>&-"])
def test_a_service_whose_words_go_nowhere_serves(stream: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f'exec "$0" -m clpips.service.cli serve --port {port} {stream}'
    with subprocess.Popen(["/bin/sh", "-c", command, sys.executable], env=settings()) as process:
        try:
            while not is_ready(f"http://127.0.0.1:{port}"):
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
        finally:
            process.kill()


def test_no_text_of_a_client_is_a_command_to_the_terminal_that_shows_the_log() -> None:
    code = (
        "import logging, structlog; from clpips.service.ops.logs import configure_logging; "
        "from clpips.service.settings import Settings; configure_logging(Settings(log_format='console')); "
        "structlog.get_logger().info('request', path='/\\x1b]0;title\\x07'); "
        "logging.getLogger('other').warning('\\x9b2J')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert re.findall(r"[^\n -~]", done.stderr) == []
    assert r"/\x1b]0;title\x07" in done.stderr
    assert r"\x9b2J" in done.stderr


def test_a_taken_port_is_one_clear_line(service: Service) -> None:
    port = service.url.rpartition(":")[2]
    assert f"cannot listen on 127.0.0.1 port {port}" in refused("--port", port)


@pytest.mark.parametrize(
    ("arguments", "variables", "complaint"),
    [
        ((), {"CLPIPS_PRECISION": "wrong"}, "CLPIPS_PRECISION='wrong': expected one of exact, fast"),
        ((), {"CLPIPS_NONSENSE_OF_A_NAME": "1"}, "CLPIPS_NONSENSE_OF_A_NAME is not a setting"),
        ((), {"CLPIPS_BACKBONE": "/nowhere/at/all"}, "cannot read the backbone /nowhere/at/all"),
        (("--engine", "onnx", "--precision", "fast"), {}, "choose the engine torch"),
        (("--host", "no.such.host.invalid"), {}, "cannot listen on no.such.host.invalid"),
        (("--port", "99999"), {}, "99999"),
        # Before an engine is opened, which has a line of its own to say.
        ((), {"CLPIPS_ALLOWED_HOSTS": "http://x", "CLPIPS_CONVOLUTION": "auto"}, "names without scheme and port"),
        ((), {"CLPIPS_CORS_ORIGINS": "studio", "CLPIPS_CONVOLUTION": "auto"}, "a scheme and a host without a path"),
    ],
)
def test_a_start_that_cannot_be_is_one_clear_line(
    arguments: tuple[str, ...], variables: dict[str, str], complaint: str
) -> None:
    assert complaint in refused(*arguments, **variables)


def test_an_engine_that_fails_its_warm_up_ends_the_process_with_its_reason() -> None:
    code = (
        "from clpips.service.server import serve; from clpips.service.settings import Settings; "
        "from tests.support.services import FakeEngine; "
        "engine = FakeEngine(); engine.failure = RuntimeError('no kernel image'); serve(Settings(port=0), engine)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "no kernel image" in done.stderr
    assert "listening" not in done.stderr


def test_what_is_there_when_it_listens_is_never_looked_over_again() -> None:
    code = """
import gc, os, signal, threading, time
from clpips.service.server import serve
from clpips.service.settings import Settings
from tests.support.services import FakeEngine

def look():
    until = time.monotonic() + 30
    while not gc.get_freeze_count() and time.monotonic() < until:
        time.sleep(0.01)
    print(gc.get_freeze_count(), len(gc.get_objects()))
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=look, daemon=True).start()
serve(Settings(port=0), FakeEngine())
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    frozen, collected = map(int, done.stdout.split())
    assert frozen > 10 * collected


def test_a_damaged_content_network_is_told_at_the_start_and_does_not_matter_where_it_is_left_out(
    tmp_path: Path,
) -> None:
    damaged = tmp_path / "content.safetensors"
    damaged.write_bytes(b"damaged")
    code = (
        "import sys; from pathlib import Path; from clpips.models.metric import backbone_file; "
        f"backbone_file.SHIPPED_CONTENT = Path({str(damaged)!r}); "
        "from clpips.service.settings import Settings; from clpips.service.scoring.opening import open_engines; "
        "from clpips.service.cli import main; "
        "open_engines(Settings(engine='onnx', content=False)); print('left out'); main(['serve', '--port', '0'])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert "left out" in done.stdout
    assert done.returncode
    assert "content.safetensors is damaged" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["mysql://host/clpips", "nonsense", "sqlite://", "sqlite:////", "sqlite:///{folder}"])
def test_a_database_that_is_not_served_is_named_in_one_line(url: str, tmp_path: Path) -> None:
    assert "the database must be a URL like" in refused(CLPIPS_DATABASE_URL=url.format(folder=tmp_path))


def test_a_file_that_is_no_database_is_named_in_one_line_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(IMAGES[0])
    assert "is no SQLite database" in refused(CLPIPS_DATABASE_URL=f"sqlite:///{file}")
    assert file.read_bytes() == IMAGES[0]


def test_a_database_that_does_not_answer_is_one_line_and_exit_code_3() -> None:
    command = [sys.executable, "-m", "clpips.service.cli", "serve"]
    variables = settings(CLPIPS_DATABASE_URL="postgresql://user:secret@127.0.0.1:1/x")
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["event"] == "the database is not ready"
    assert "secret" not in line


def test_migrate_names_the_database_that_fails_and_the_setting(tmp_path: Path) -> None:
    (tmp_path / "garbage.db").write_bytes(b"no database" * 100)
    variables = {**os.environ, "CLPIPS_DATABASE_URL": f"sqlite:///{tmp_path}/garbage.db"}
    command = [sys.executable, "-m", "clpips", "migrate"]
    told = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "garbage.db, which CLPIPS_DATABASE_URL names: file is not a database" in told.stderr
