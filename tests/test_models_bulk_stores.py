"""Images, tables and output elsewhere: an object store on loopback, and web servers that are slow, large or broken."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from clpips.models.bulk import score
from clpips.models.bulk.fetching import Fetcher, FetchError
from clpips.models.cli.commands import main
from clpips.models.images.errors import TooCostlyError
from tests.support.bulk import QUICK, image_files, parts, random_pairs, run_job, write_table

IMAGES = 8
PAUSE = 0.3


class Server(BaseHTTPRequestHandler):
    """Answers by the path; what it was asked is kept."""

    asked: list[str] = []  # noqa: RUF012  of the whole server

    def do_GET(self) -> None:
        self.asked.append(self.path)
        times = self.asked.count(self.path)
        if self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(40):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)  # a server that never ends
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(b"x" * 1000)
        elif self.path == "/large":
            self.send_response(200)
            self.send_header("Content-Length", "99999999")
            self.end_headers()
        elif self.path == "/gone":
            self.send_error(410)
        elif self.path == "/down" or (self.path == "/flaky" and times < 3):
            self.send_error(503)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"content")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class QuietServer(ThreadingHTTPServer):
    """A server that does not mind clients that leave in the middle."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with QuietServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_image_comes_from_a_url_and_what_may_pass_is_tried_again(web: str) -> None:
    fetcher = Fetcher(web, 10_000, 5)
    assert fetcher.fetch("good") == b"content"
    assert fetcher.fetch(f"{web}/flaky") == b"content"
    assert Server.asked.count("/flaky") == 3


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("slow", FetchError, r"it did not come within 0\.3 s"),
        ("endless", TooCostlyError, r"the file has 10,\d+ bytes or more, the limit is 10,000|the limit is 10,000"),
        ("large", TooCostlyError, r"the file has 99,999,999 bytes or more, the limit is 10,000"),
        ("gone", FetchError, "the server answers 410"),
        ("down", FetchError, "the server answers 503"),
    ],
)
def test_what_is_wrong_with_a_server_is_said_in_words(web: str, path: str, kind: type[Exception], words: str) -> None:
    started = time.monotonic()
    with pytest.raises(kind, match=words):
        Fetcher("", 10_000, PAUSE).fetch(f"{web}/{path}")
    assert time.monotonic() - started < 20
    assert Server.asked.count(f"/{path}") == (3 if path == "down" else 1)


def test_a_server_that_is_not_there_is_said_in_words() -> None:
    with pytest.raises(FetchError, match="it cannot be fetched"):
        Fetcher("", 10_000, 5).fetch("http://127.0.0.1:9/x.png")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3 server on loopback."""
    pytest.importorskip("s3fs", reason="needs s3fs: pip install -e '.[bulk]'")
    server_of = pytest.importorskip("moto.server", reason="needs Moto: pip install -e '.[test]'")
    server: Any = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("data")
    yield "s3://data"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_table_images_and_parts_may_lie_in_an_object_store(store: str, tmp_path: Path) -> None:
    import s3fs

    image_files(tmp_path, IMAGES)
    targets, candidates = random_pairs(IMAGES, 30)
    targets[3] = "none.png"
    table = write_table(tmp_path / "pairs.parquet", target=targets, candidate=candidates)
    bucket = s3fs.S3FileSystem()
    bucket.put([str(path) for path in tmp_path.iterdir()], "data/in/")
    here = run_job(table, tmp_path / "out", shard_images=4)
    there = run_job(f"{store}/in/pairs.parquet", f"{store}/out", shard_images=4)
    assert (there.rows, there.bad_rows) == (here.rows, here.bad_rows) == (30, 1)
    written = {name.rpartition("/")[2]: bucket.cat_file(name) for name in bucket.ls("data/out") if ".parquet" in name}
    assert written == parts(tmp_path / "out")
    missing = sorted(written)[1]
    bucket.rm(f"data/out/{missing}")
    again = run_job(f"{store}/in/pairs.parquet", f"{store}/out", shard_images=4)
    assert again.pairs == 30
    assert bucket.cat_file(f"data/out/{missing}") == written[missing]


def test_parts_in_a_store_are_a_dataset(tmp_path: Path) -> None:
    image_files(tmp_path, 2)
    out = f"memory://{tmp_path.name}/out"
    table = pa.table({"target": ["0.png"], "candidate": ["1.png"]})
    found = score(table, root=tmp_path, out=out, **QUICK)
    assert found.count_rows() == 1
    assert found.to_table()["distance"][0].as_py() > 0


@pytest.mark.parametrize("kind", [RuntimeError, OSError])
def test_a_store_that_fails_is_said_in_a_line_and_may_be_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("bad\nrequest")

    image_files(tmp_path, 1)
    table = write_table(tmp_path / "pairs.parquet", target=["0.png"], candidate=["0.png"])
    monkeypatch.setattr(MemoryFileSystem, "ls", fail)
    with pytest.raises(SystemExit, match="1"):
        main(["score", str(table), "--out", "memory://out"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("clpips: memory://out: ")
    assert "bad request" in said
    assert said.endswith("the same command goes on from it")
